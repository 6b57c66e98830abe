"""Relations between named quantities of a host: hotter, slower or more loaded than all the rest explains.

    row ─> quantities ─> now, means of 5 and 30 rows ─> inputs, their squares and products ─> regressions
    answer against what was expected, in deviations ─> mean of 15 rows ─> strength ─> alarms

What flows in: rows (means over a minute of `{series: value}`). What flows out: a verdict for each relation that is
broken for minutes. It begins with what a fleet knows, and goes on with what the device shows (regression.py).
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.detection.alarms import Alarms
from edge_agent.detection.quantities import Quantity, quantities, quantity_of
from edge_agent.detection.regression import Prior, Regressions
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.detection.windows import Array
from edge_agent.protocol.metrics import metric_of, series_attributes
from edge_agent.protocol.records import Carrier
from edge_agent.protocol.wording import quantity

INPUT_VERSION = 1
"""Changes whenever the meaning of an input or an answer does; knowledge of another version is refused."""
ROWS_OF_SCALES = (1, 5, 30)  # now, and means that follow so slowly: a board takes minutes to warm up
WARM_ROWS = 30  # after a start: the slowest mean isn't one before
SMOOTH_ROWS = 15  # those that say something
FEWEST_ROWS = 5
MOST = 4.0  # deviations of one row
EXPECTED_DEVIATIONS = 2.0
LEAST_OPERATIONS = 0.5  # a second: fewer say nothing of how fast a disk is
LEAST_BUSY = 2e-4
_Q = Quantity
_Row = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One answer, and inputs as (quantity, place in ROWS_OF_SCALES). Its answer is made of what it `shows`."""

    fault: str
    shows: Quantity
    inputs: tuple[tuple[Quantity, int], ...]


RELATIONS = (
    Relation(
        fault="thermal.cooling",
        shows=_Q.HEAT,
        inputs=((_Q.CPU, 0), (_Q.CPU, 1), (_Q.CPU, 2)),
    ),
    Relation(
        fault="disk.slow",
        shows=_Q.BUSY,
        inputs=((_Q.READ, 0), (_Q.WRITTEN, 0), (_Q.READS, 0), (_Q.WRITES, 0)),
    ),
    Relation(
        fault="load.unexplained",
        shows=_Q.LOAD,
        inputs=((_Q.CPU, 0), (_Q.CPU, 1), (_Q.IOWAIT, 0), (_Q.IOWAIT, 1), (_Q.BUSY, 0), (_Q.STARTED, 0)),
    ),
)
INPUTS = max(len(relation.inputs) for relation in RELATIONS)
_SIZES = {_Q.LOAD: 2.0, _Q.STARTED: 3.0, _Q.READ: 16.0, _Q.WRITTEN: 16.0, _Q.READS: 7.0, _Q.WRITES: 7.0}
_COUNTED = np.array(list(_SIZES), np.intp)
_LOGARITHMS = np.array(list(_SIZES.values()))
_PLACES = np.array(
    [[place * len(_Q) + q for q, place in one.inputs] + [-1] * (INPUTS - len(one.inputs)) for one in RELATIONS]
)
_LEFT, _RIGHT = np.triu_indices(INPUTS)
WIDTH = 1 + INPUTS + len(_LEFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a fleet knows of the RELATIONS; all arrays begin with (relations,).

    Answers are counted from `centre` in units of `spread`. In these `prior` says what the weights are like and
    `variance` how noisy rows are. `bar` is the strength for one false case a week.
    """

    name: str
    prior: Prior
    variance: Array
    centre: Array
    spread: Array
    bar: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One row, (relations,) each: does it say something, how long has the answer been off, what was expected."""

    counts: npt.NDArray[np.bool_]
    strength: Array
    low: Array
    high: Array


def squashed(found: Array) -> Array:
    """Bring quantities (..., Quantity) to the size of 1: shares as they are, counts and rates as logarithms."""
    values = found.copy()
    values[..., _COUNTED] = np.log1p(np.maximum(found[..., _COUNTED], 0.0)) / _LOGARITHMS
    values[..., _Q.HEAT] = found[..., _Q.HEAT] / 50.0
    return values


def answers(found: Array) -> Array:
    """Return what each relation explains (..., relations): 10 Cel; log10 of busy seconds a transfer; log1p of load."""
    operations = found[..., _Q.READS] + found[..., _Q.WRITES]
    busy = found[..., _Q.BUSY]
    says = (operations >= LEAST_OPERATIONS) & (busy >= LEAST_BUSY)
    slow = np.log10(np.where(says, busy, 1.0) / np.where(says, operations, 1.0))
    load = np.log1p(np.maximum(found[..., _Q.LOAD], 0.0))
    return np.stack([found[..., _Q.HEAT] / 10.0, np.where(says, slow, np.nan), load], axis=-1)


def named_inputs(scales: Array) -> Array:
    """From (..., scales * Quantity) to each relation's named inputs (..., relations, INPUTS), 0 beyond its own."""
    return np.where(_PLACES >= 0, scales[..., _PLACES], 0.0)


def basis_of(inputs: Array) -> Array:
    """From (..., INPUTS) to (..., WIDTH): one, the inputs, and the products of any two of them."""
    return np.concatenate([np.ones((*inputs.shape[:-1], 1)), inputs, inputs[..., _LEFT] * inputs[..., _RIGHT]], axis=-1)


class Scales:
    """Means of the last quantities at each of ROWS_OF_SCALES; what is missing now keeps its slower means."""

    def __init__(self) -> None:
        self._follow = 1.0 / np.array(ROWS_OF_SCALES, np.float64)[:, np.newaxis]
        self._means: Array = np.full((len(ROWS_OF_SCALES), len(Quantity)), np.nan)

    def step(self, values: Array) -> Array:
        """From (Quantity,) squashed to (scales * Quantity,); NaN for what is not there now."""
        here = np.isfinite(values)
        begun = np.where(np.isnan(self._means), values, self._means)
        self._means = np.where(here, begun + self._follow * (values - begun), self._means)
        return np.where(here, self._means, np.nan).ravel()


class Relations:
    """Learns and judges the relations of one device, a row at a time; holds nothing that grows with time."""

    def __init__(self, fleet: Fleet, false_per_week: float = 1.0, step_s: float = 60.0) -> None:
        """`false_per_week`: false cases that each relation may raise."""
        self._fleet = fleet
        self._scales = Scales()
        self._regressions = Regressions(fleet.prior)
        self._rate = (false_per_week, step_s)
        self._alarms = self._new_alarms()
        self._standing = [False] * len(RELATIONS)
        self._last: list[deque[float]] = [deque(maxlen=SMOOTH_ROWS) for _ in RELATIONS]
        self._rows = 0

    @property
    def name(self) -> str:
        """``<name>-<version>`` of the fleet's knowledge, as findings name their detector."""
        return self._fleet.name

    @property
    def faults(self) -> tuple[str, ...]:
        """What it can name."""
        return tuple(relation.fault for relation in RELATIONS)

    def step(self, row: _Row) -> list[Verdict]:
        """Judge a row, then learn from it; return what is broken now."""
        found = quantities(row)
        judged = self.judge(found)
        return [
            _verdict(place, found, judged, row)
            for place, alarms in enumerate(self._alarms)
            if self._stands(place, alarms, judged)
        ]

    def judge(self, found: Array) -> Judged:
        """From quantities (Quantity,) to what was expected of each relation, and how long it has been off."""
        self._rows += 1
        inputs = named_inputs(self._scales.step(squashed(found)))
        answer = (answers(found) - self._fleet.centre) / self._fleet.spread
        complete = np.isfinite(inputs).all(axis=-1) & np.isfinite(answer) & (self._rows > WARM_ROWS)
        basis = basis_of(np.where(complete[:, np.newaxis], inputs, 0.0))
        expected, deviation = self._regressions.step(basis, self._fleet.variance, np.where(complete, answer, np.nan))
        off = np.clip((answer - expected) / deviation, -MOST, MOST).tolist()
        for last, one, counts in zip(self._last, off, complete.tolist(), strict=True):
            if counts:
                last.append(one)
        low, high = (expected + side * EXPECTED_DEVIATIONS * deviation for side in (-1.0, 1.0))
        return Judged(
            counts=complete,
            strength=np.array([sum(last) / SMOOTH_ROWS if len(last) >= FEWEST_ROWS else -MOST for last in self._last]),
            low=self._fleet.centre + self._fleet.spread * low,
            high=self._fleet.centre + self._fleet.spread * high,
        )

    def _new_alarms(self) -> list[Alarms]:
        """One for each relation, without caution: what is not known yet is in the deviations."""
        false_per_week, step_s = self._rate
        return [Alarms(false_per_week, step_s, start=bar, caution=0.0) for bar in self._fleet.bar.tolist()]

    def _stands(self, place: int, alarms: Alarms, judged: Judged) -> bool:
        """Ask the relation's alarm; a row that says nothing of a relation is none of its rows."""
        if judged.counts[place]:
            self._standing[place] = alarms.step(max(0.0, float(judged.strength[place]))).standing
        return self._standing[place] and bool(judged.counts[place])

    def export_state(self) -> dict[str, object]:
        """Return what must outlive a reboot as a plain dictionary, fit for JSON."""
        return {
            "version": INPUT_VERSION,
            "fleet": self._fleet.name,
            "regressions": self._regressions.export_state(),
            "alarms": [alarms.export_state() for alarms in self._alarms],
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Take up an exported state. Raises ValueError with what is wrong, and then has changed nothing."""
        regressions, alarms = state.get("regressions"), state.get("alarms")
        if state.get("version") != INPUT_VERSION or state.get("fleet") != self._fleet.name:
            raise ValueError("relations: state is of another version or fleet")
        if not isinstance(regressions, dict) or not isinstance(alarms, list) or len(alarms) != len(RELATIONS):
            raise ValueError("relations: regressions must be a mapping, and alarms a list of one for each relation")
        restored = self._new_alarms()
        for one, learnt in zip(restored, alarms, strict=True):
            one.restore_state(learnt if isinstance(learnt, dict) else {})
        self._regressions.restore_state(regressions)
        self._alarms = restored


def _verdict(place: int, found: Array, judged: Judged, row: _Row) -> Verdict:
    """Say what is off, by what, and where."""
    relation = RELATIONS[place]
    series = max((one for one in row if quantity_of(one) is relation.shows), key=lambda one: row[one])
    told = _TOLD[relation.fault]
    low, high = (told.shown(float(edge[place]), found) for edge in (judged.low, judged.high))
    value = float(found[relation.shows])
    carrier = Carrier(
        metric=series, value=value, unit=metric_of(series).unit, expected_low=low, expected_high=high, share=1.0
    )
    return Verdict(
        fault=relation.fault,
        component=series_attributes(series).get(told.named_by, "load"),
        confidence=min(1.0, max(0.0, float(judged.strength[place]) / MOST)),
        reason=told.words(value, low, high, found),
        carriers=(carrier,),
        basis=Basis(judged=(series,)),
    )


@dataclass(frozen=True, slots=True)
class _Telling:
    """How a relation is put: attribute that names the component, an answer as its quantity, and the sentence."""

    named_by: str
    shown: Callable[[float, Array], float]
    words: Callable[[float, float, float, Array], str]


def _hot(value: float, low: float, high: float, found: Array) -> str:
    return f"{value:.0f} °C, where {low:.0f} to {high:.0f} °C is usual at {found[_Q.CPU]:.0%} CPU"


def _slow(value: float, low: float, high: float, found: Array) -> str:
    operations = found[_Q.READS] + found[_Q.WRITES]
    size = (found[_Q.READ] + found[_Q.WRITTEN]) / operations
    each, least, most = (1000 * busy / operations for busy in (value, low, high))
    return (
        f"{each:.3g} ms a transfer, where {least:.3g} to {most:.3g} ms is usual for "
        f"{operations:.3g} transfers/s of {quantity(size, 'By')}"
    )


def _loaded(value: float, low: float, high: float, found: Array) -> str:
    return f"load {value:.2g}, where {low:.2g} to {high:.2g} is usual at {found[_Q.CPU]:.0%} CPU"


_TOLD = {
    "thermal.cooling": _Telling("hw.name", lambda answer, _found: 10.0 * answer, _hot),
    "disk.slow": _Telling(
        "system.device", lambda answer, found: float(10.0**answer * (found[_Q.READS] + found[_Q.WRITES])), _slow
    ),
    "load.unexplained": _Telling("", lambda answer, _found: max(0.0, math.expm1(answer)), _loaded),
}
