"""Cross-validate the alarm threshold: is the rate of false cases kept on machines that did not choose the settings?

What flows in: scored machines of several fleets with the strength of each row. What flows out: what each fleet gets
under the settings as shipped, and under those that all machines, the other machines or the other fleets would choose.

The bar of a new device and the push of a case (edge_agent/detection/anomaly/alarm_rate.py) are chosen again each time,
out of SETTINGS, with the labels of those who choose.
"""

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import NamedTuple

from edge_agent.detection.anomaly.alarm_rate import PUSH, START, Alarms
from edge_agent.detection.anomaly.baseline import Array
from models.case_metrics import Cases, Truth, total
from models.replay import decide


class Setting(NamedTuple):
    """Two constants of Alarms: the fleet's bar, and how far a case pushes it."""

    start: float = START
    push: float = PUSH


MONTHLY = 12 / 52
RATES = {"one a week": 1.0, "one a month": MONTHLY}
FACTORS = (0.75, 0.85, 1.0, 1.15, 1.3)
SETTINGS = (
    Setting(),
    *(Setting(START * a, PUSH * b) for a, b in product(FACTORS, (0.5, 1.0, 1.5)) if (a, b) != (1, 1)),
)
"""The first is the one that devices ship with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strengths:
    """A labelled machine, and the strength of each row: of its history, then of the scored rows."""

    name: str
    fleet: str
    truth: Truth
    strength: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A machine under each of SETTINGS."""

    name: str
    fleet: str
    truth: Truth
    cases: tuple[Cases, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a fleet gets when `who` chooses, and the settings that its machines were given."""

    who: str
    rate: str
    fleet: str
    cases: Cases
    false_per_week: float
    settings: tuple[Setting, ...]


def held_out(machines: Sequence[Strengths], jobs: int) -> list[Outcome]:
    """Evaluate all machines under all settings at each rate, and choose in each way."""
    outcomes = []
    with ProcessPoolExecutor(max(1, jobs), multiprocessing.get_context("spawn")) as processes:
        for rate, false_per_week in RATES.items():
            tried = list(processes.map(partial(candidate, false_per_week=false_per_week), machines))
            outcomes += _ways(tried, rate, false_per_week)
    return outcomes


def candidate(machine: Strengths, false_per_week: float) -> Candidate:
    """Evaluate one machine under all settings."""
    step_s, rows = machine.truth.period_s, len(machine.truth.label)
    alarms = (Alarms(false_per_week, step_s, start=setting.start, push=setting.push) for setting in SETTINGS)
    cases = tuple(machine.truth.cases(decide(machine.strength, one)[-rows:]) for one in alarms)
    return Candidate(name=machine.name, fleet=machine.fleet, truth=machine.truth, cases=cases)


def choose(machines: Sequence[Candidate], false_per_week: float) -> int:
    """Place of the setting with the best F1 over these machines, with at most so many false cases a device-week in each
    fleet; the first of equal ones. If none keeps to that, the one with the fewest.
    """
    rates = [max(_rates(machines, place).values()) for place in range(len(SETTINGS))]
    allowed = [place for place, rate in enumerate(rates) if rate <= false_per_week]
    if not allowed:
        return rates.index(min(rates))
    return max(allowed, key=lambda place: total(one.cases[place] for one in machines).f1)


def _ways(machines: Sequence[Candidate], rate: str, false_per_week: float) -> list[Outcome]:
    groups: dict[str, Callable[[Candidate], str]] = {
        "the other machines": lambda one: one.name,
        "the other fleets": lambda one: one.fleet,
    }
    chosen = choose(machines, false_per_week)
    ways = {
        "as shipped": [(one, 0) for one in machines],
        "all machines (in sample)": [(one, chosen) for one in machines],
    }
    for who, group in groups.items():
        if len({group(one) for one in machines}) > 1:
            ways[who] = _apart(machines, group, false_per_week)
    return [outcome for who, placed in ways.items() for outcome in _outcomes(who, rate, placed)]


def _apart(
    machines: Sequence[Candidate], group: Callable[[Candidate], str], false_per_week: float
) -> list[tuple[Candidate, int]]:
    """Give every machine the setting that the machines of other groups choose."""
    places = {
        apart: choose([one for one in machines if group(one) != apart], false_per_week)
        for apart in {group(one) for one in machines}
    }
    return [(one, places[group(one)]) for one in machines]


def _outcomes(who: str, rate: str, placed: Sequence[tuple[Candidate, int]]) -> list[Outcome]:
    outcomes = []
    for fleet in sorted({one.fleet for one, _ in placed}):
        part = [(one, place) for one, place in placed if one.fleet == fleet]
        cases = total(one.cases[place] for one, place in part)
        outcomes.append(
            Outcome(
                who=who,
                rate=rate,
                fleet=fleet,
                cases=cases,
                false_per_week=cases.false / sum(one.truth.weeks for one, _ in part),
                settings=tuple(sorted({SETTINGS[place] for _, place in part})),
            )
        )
    return outcomes


def _rates(machines: Sequence[Candidate], place: int) -> Mapping[str, float]:
    """False cases for each device-week of each fleet."""
    fleets = {one.fleet for one in machines}
    parts = [(fleet, [one for one in machines if one.fleet == fleet]) for fleet in fleets]
    return {
        fleet: sum(one.cases[place].false for one in part) / sum(one.truth.weeks for one in part)
        for fleet, part in parts
    }
