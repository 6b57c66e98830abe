"""`python -m models relations`: does a device detect violated relations, at one false case a week?

What flows in: recordings. What flows out: for each detector, how many faults it finds, as a table.

Each recording is held out in turn: the fleet is made of the others, and the evaluated devices (new ones, drawn
with another seed) do the held-out recording's work after a history. Either the history is half a day of the other
recordings' work, and a faulty reading never leaves the range it had there; or it is seven quiet hours, and the fault
begins half an hour after the first work. A device reports nothing in its first six hours, so they are not evaluated.
"""

import argparse
import copy
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from edge_agent.detection.anomaly import Scorer
from edge_agent.detection.relations.quantities import Quantity
from edge_agent.detection.relations.regression import Prior
from edge_agent.detection.relations.relations import RELATIONS, WIDTH, FleetPrior, Relations
from edge_agent.detection.trends.multiscale_window import Array
from models.datasets import DataError
from models.fleet_prior import WIDE, Known, learn
from models.report import insert, table
from models.simulated_devices import (
    RECORDINGS,
    Device,
    InjectedFault,
    Recorded,
    load_recordings,
    random_device,
    simulate,
    work,
)

BEGIN, END = "<!-- relations -->", "<!-- end of relations -->"
FLEET_DEVICES, FLEET_ROWS = 200, 840
EVALUATED_DEVICES, EVALUATED_ROWS = 16, 360
HOUR = 60  # rows
FAULT_ROWS = HOUR + 2
FALSE_PER_WEEK = 1.0
LEAST_BAR = 1.0  # deviation
_WEEK_ROWS = 7 * 1440


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of fault: the relation that it violates, and how."""

    title: str
    relation: int
    fault: InjectedFault


CASES = (
    Case("cooling half as good", 0, InjectedFault(resists=2.0)),
    Case("cooling two thirds as good", 0, InjectedFault(resists=1.5)),
    Case("disk half as fast", 1, InjectedFault(slower=2.0)),
    Case("disk a quarter as fast", 1, InjectedFault(slower=4.0)),
    Case("one stuck thread", 2, InjectedFault(stuck=1.0)),
    Case("two stuck threads", 2, InjectedFault(stuck=2.0)),
)


@dataclass(frozen=True, slots=True)
class History:
    """Rows of a device before its evaluation; the fault begins `after` more rows later."""

    title: str
    rows: int
    quiet: bool
    after: int


HISTORIES = (History("half a day of work", 720, False, 120), History("seven quiet hours", 420, True, 30))


@dataclass(frozen=True, slots=True)
class SimulatedDevice:
    """One device of a held-out recording: its healthy rows, and for each case the rows from the fault on."""

    history: History
    healthy: Array
    begin: int
    faulty: dict[str, Array]


@dataclass(slots=True)
class Strengths:
    """Strengths of healthy rows after the history, and of rows after each fault. (devices, rows, relations) each."""

    healthy: list[Array] = field(default_factory=list)
    faulty: dict[str, list[Array]] = field(default_factory=dict)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `relations` and its options."""
    parser = commands.add_parser("relations", help="measure relations on held-out recordings", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--recordings", type=Path, default=RECORDINGS, metavar="DIR", help=f"default {RECORDINGS}")
    parser.add_argument("--seed", type=int, default=11, help="seed of the simulated devices (default 11)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Evaluate every fold with every detector, print the table."""
    text = _tabled(evaluate(load_recordings(options.recordings), options.seed))
    print(text)
    if options.write:
        insert(options.write, text, BEGIN, END)


def fleet_of(recordings: Sequence[Recorded], seed: int) -> Known:
    """Simulate a fleet of devices on recordings, and learn the fleet prior from it."""
    rng = np.random.default_rng([seed, 1])
    devices = [random_device(rng) for _ in range(FLEET_DEVICES)]
    return learn([simulate(device, work(recordings, FLEET_ROWS, device.quiet, rng)) for device in devices])


def folds(recordings: Sequence[Recorded]) -> Iterator[tuple[Recorded, list[Recorded]]]:
    """Yield each recording and the others. Raises DataError if there is only one."""
    if len(recordings) < 2:
        raise DataError("at least two recordings are needed: one is held out")
    for held_out in recordings:
        yield held_out, [one for one in recordings if one is not held_out]


def simulated_devices(
    held_out: Recorded, others: Sequence[Recorded], seed: int, cases: Sequence[Case]
) -> Iterator[SimulatedDevice]:
    """Yield the evaluated devices of one fold, with either history."""
    rng = np.random.default_rng([seed, 2])
    for history in HISTORIES:
        for _ in range(EVALUATED_DEVICES):
            device = random_device(rng)
            before = work(others, history.rows, 1.0 if history.quiet else device.quiet, rng)
            done = np.concatenate([before, work([held_out], EVALUATED_ROWS, device.quiet, rng)])
            yield _simulated(device, done, history, cases)


def _simulated(device: Device, done: Array, history: History, cases: Sequence[Case]) -> SimulatedDevice:
    healthy, begin = simulate(device, done), history.rows + history.after
    highest = np.full(len(Quantity), np.inf) if history.quiet else healthy[: history.rows].max(axis=0)
    end = begin + FAULT_ROWS
    faulty = {}
    for case in cases:
        rows = simulate(device, done, replace(case.fault, begin=begin, end=len(healthy)))[begin:end]
        faulty[case.title] = np.minimum(rows, np.maximum(highest, healthy[begin:end]))
    return SimulatedDevice(history, healthy, begin, faulty)


def ways_of(known: Known) -> dict[str, FleetPrior]:
    """Return what a device may begin with: the fleet's knowledge, none, or the fleet's and nothing of its own."""
    one = np.broadcast_to(np.eye(WIDTH), known.prior.covariance.shape)
    priors = {
        "fleet, then own": known.prior,
        "own only": Prior(mean=np.zeros_like(known.prior.mean), covariance=WIDE * one),
        "fleet only": Prior(mean=known.prior.mean, covariance=1e-9 * one),
    }
    return {title: fleet(title, known._replace(prior=prior)) for title, prior in priors.items()}


def fleet(name: str, known: Known, bar: Array | None = None) -> FleetPrior:
    """Put together what the agent loads."""
    return FleetPrior(
        name=name, prior=known.prior, variance=known.variance, centre=known.centre, spread=known.spread,
        bar=np.ones(len(RELATIONS)) if bar is None else bar,
    )  # fmt: skip


class Related:
    """Evaluates rows of quantities by relations: a strength for each, -inf where a row can't open a case."""

    def __init__(self, fleet: FleetPrior) -> None:
        self._relations = Relations(fleet)

    def evaluate(self, row: Array) -> Array:
        """Return the strengths of the next row."""
        return np.array([one.strength if one and one.opens else -np.inf for one in self._relations.evaluate(row)])


class Alone:
    """Scores the same rows with the Scorer, each quantity by itself: one strength, the same for every relation."""

    def __init__(self) -> None:
        self._scorer = Scorer()
        self._rows = 0

    def evaluate(self, row: Array) -> Array:
        """Return the strengths of the next row. The Scorer returns a row's score with the row after it."""
        values = {one.name: float(value) for one, value in zip(Quantity, row, strict=True) if math.isfinite(value)}
        self._rows += 1
        score = self._scorer.step(values, (self._rows + 0.5) * 60.0)
        return np.full(len(RELATIONS), score.strength if score and score.ready else -np.inf)


def strengths_of(detector: Related | Alone, simulated: SimulatedDevice) -> tuple[Array, dict[str, Array]]:
    """Return strengths of the healthy rows after the history, and of the rows after each fault."""
    healthy, kept = [], detector
    for number, row in enumerate(simulated.healthy):
        if number == simulated.begin:
            kept = copy.deepcopy(detector)
        healthy.append(detector.evaluate(row))
    faulty = {}
    for title, rows in simulated.faulty.items():
        again = copy.deepcopy(kept)
        faulty[title] = np.array([again.evaluate(row) for row in rows])
    return np.array(healthy)[simulated.history.rows :], faulty


def bars(healthy: Sequence[Array], false_per_week: float = FALSE_PER_WEEK) -> Array:
    """Return for each relation the bar that healthy rows exceed in so many hours a week, an hour being one case.

    Where hardly an hour has a strength it is LEAST_BAR: a case must also end.
    """
    rows = np.stack([one[: len(one) // HOUR * HOUR] for one in healthy])
    hours = rows.reshape(-1, HOUR, rows.shape[-1]).max(axis=1)
    allowed = int(false_per_week * rows.shape[0] * rows.shape[1] / _WEEK_ROWS)
    bar: Array = np.maximum(np.sort(hours, axis=0)[::-1][allowed], LEAST_BAR)
    return bar


@dataclass(frozen=True, slots=True)
class Found:
    """How well a case is found: shares found in 30 and 60 minutes by fold, median delay in minutes, area under ROC."""

    in_30: tuple[float, ...]
    in_60: tuple[float, ...]
    delay: float | None
    area: float


def found(case: Case, healthy: Sequence[Array], faulty: Sequence[Sequence[Array]], begin: int, bar: float) -> Found:
    """Compare strengths after faults, by fold, with the bar; and with the same hour of the healthy devices."""
    delays = [[_delay(one[:, case.relation], bar) for one in fold] for fold in faulty]
    after = [one[:HOUR, case.relation].max() for fold in faulty for one in fold]
    without = [one[begin : begin + HOUR, case.relation].max() for one in healthy]
    seen = [delay for fold in delays for delay in fold if delay < HOUR]
    return Found(
        in_30=tuple(float(np.mean([delay < HOUR / 2 for delay in fold])) for fold in delays),
        in_60=tuple(float(np.mean([delay < HOUR for delay in fold])) for fold in delays),
        delay=float(np.median(seen)) if seen else None,
        area=_area(np.array(after), np.array(without)),
    )


def _delay(strengths: Array, bar: float) -> float:
    above = np.flatnonzero(strengths > bar)
    return float(above[0] + 1) if len(above) else math.inf


def _area(faulty: Array, healthy: Array) -> float:
    """How often a faulty hour is louder than a healthy one; ties count half."""
    higher = (faulty[:, np.newaxis] > healthy).mean()
    return float(higher + (faulty[:, np.newaxis] == healthy).mean() / 2)


def evaluate(recordings: Sequence[Recorded], seed: int) -> dict[tuple[str, str, str], Found]:
    """Evaluate every fold with every detector: {(history, way, case): Found}."""
    strengths: dict[tuple[str, str], list[Strengths]] = {}
    for number, (held_out, others) in enumerate(folds(recordings)):
        print(f"holding out {held_out.name}", file=sys.stderr, flush=True)
        detectors: dict[str, Related | Alone] = {
            title: Related(one) for title, one in ways_of(fleet_of(others, seed + number)).items()
        }
        detectors["each metric alone"] = Alone()
        for simulated in simulated_devices(held_out, others, seed + number, CASES):
            for title, detector in detectors.items():
                healthy, faulty = strengths_of(copy.deepcopy(detector), simulated)
                parts = strengths.setdefault((simulated.history.title, title), [])
                if len(parts) <= number:
                    parts.append(Strengths())
                parts[number].healthy.append(healthy)
                for case, rows in faulty.items():
                    parts[number].faulty.setdefault(case, []).append(rows)
    return _figures(strengths)


def _figures(strengths: Mapping[tuple[str, str], Sequence[Strengths]]) -> dict[tuple[str, str, str], Found]:
    figures = {}
    for way in dict.fromkeys(way for _, way in strengths):
        everywhere = [one for history in HISTORIES for part in strengths[history.title, way] for one in part.healthy]
        bar = bars(everywhere, FALSE_PER_WEEK / len(RELATIONS))
        for history in HISTORIES:
            parts = strengths[history.title, way]
            healthy = [one for part in parts for one in part.healthy]
            for case in CASES:
                faulty = [part.faulty[case.title] for part in parts]
                figures[history.title, way, case.title] = found(
                    case, healthy, faulty, history.after, float(bar[case.relation])
                )
    return figures


def _tabled(figures: Mapping[tuple[str, str, str], Found]) -> str:
    heads = ["history", "fault", "way", "in 30 min", "in 60 min", "delay, min", "area under ROC"]
    order = {title: place for place, title in enumerate([one.title for one in (*HISTORIES, *CASES)])}
    lines = [
        [history, case, way, _spread(one.in_30), _spread(one.in_60), _minutes(one.delay), f"{one.area:.3f}"]
        for (history, way, case), one in sorted(
            figures.items(), key=lambda item: (order[item[0][0]], order[item[0][2]])
        )
    ]
    return table(heads, lines)


def _spread(shares: Sequence[float]) -> str:
    return f"{np.mean(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})"


def _minutes(delay: float | None) -> str:
    return "–" if delay is None else f"{delay:.0f}"
