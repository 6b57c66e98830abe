"""One threshold on the score for all machines: chosen on labels, and what it does where it was not chosen.

What flows in: judged machines of several fleets. What flows out: Cases at the threshold that all machines chose
together (in sample), and at those that were chosen without the machine, or without its whole fleet.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.events import Cases, Truth, total
from models.judge import Judged

THRESHOLDS = tuple(np.round(np.arange(0.50, 0.999, 0.005), 3).tolist())
FALSE_PER_WEEK = 1.0  # what a fleet's owner bears, for each device


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A machine at each of THRESHOLDS."""

    name: str
    fleet: str
    truth: Truth
    cases: tuple[Cases, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a fleet gets, and the lowest and highest threshold that its machines were given."""

    cases: Cases
    false_per_week: float
    lowest: float
    highest: float


def candidates(judged: Sequence[Judged]) -> list[Candidate]:
    """Try every threshold on every machine."""
    return [
        Candidate(
            name=one.machine.name,
            fleet=one.machine.fleet,
            truth=one.truth,
            cases=tuple(one.truth.cases(one.score >= threshold) for threshold in THRESHOLDS),
        )
        for one in judged
    ]


def choose(machines: Sequence[Candidate]) -> int:
    """Place of the threshold with the best F1 over these machines, with at most one false case a device-week in each
    fleet; of equal ones the highest. If none keeps to that, the highest.
    """
    best = (-1.0, len(THRESHOLDS) - 1)
    for place in range(len(THRESHOLDS)):
        if max(_false_per_week(machines, place).values(), default=0.0) <= FALSE_PER_WEEK:
            best = max(best, (total(one.cases[place] for one in machines).f1, place))
    return best[1]


def in_sample(machines: Sequence[Candidate]) -> dict[str, Outcome]:
    """Every fleet at the threshold that all machines chose."""
    place = choose(machines)
    return _outcomes([(one, place) for one in machines])


def held_out(machines: Sequence[Candidate], group: Callable[[Candidate], str]) -> dict[str, Outcome]:
    """Every machine at the threshold that the machines of other groups chose."""
    places = {
        apart: choose([one for one in machines if group(one) != apart]) for apart in {group(one) for one in machines}
    }
    return _outcomes([(one, places[group(one)]) for one in machines])


def _outcomes(placed: Sequence[tuple[Candidate, int]]) -> dict[str, Outcome]:
    outcomes = {}
    for fleet in sorted({one.fleet for one, _ in placed}):
        part = [(one, place) for one, place in placed if one.fleet == fleet]
        cases = total(one.cases[place] for one, place in part)
        given = [THRESHOLDS[place] for _, place in part]
        outcomes[fleet] = Outcome(
            cases=cases,
            false_per_week=cases.false / sum(one.truth.weeks for one, _ in part),
            lowest=min(given),
            highest=max(given),
        )
    return outcomes


def _false_per_week(machines: Sequence[Candidate], place: int) -> Mapping[str, float]:
    fleets = {one.fleet for one in machines}
    parts = [(fleet, [one for one in machines if one.fleet == fleet]) for fleet in fleets]
    return {
        fleet: sum(one.cases[place].false for one in part) / sum(one.truth.weeks for one in part)
        for fleet, part in parts
    }
