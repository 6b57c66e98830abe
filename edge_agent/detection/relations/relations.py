"""Relations between named quantities of a host: hotter, slower or more loaded than the other quantities explain.

    row ─> quantities ─> now, means of 5 and 30 rows ─> inputs, their squares and products ─> regressions
    answer minus the expected one, in deviations ─> mean of 15 rows ─> strength ─> alarms

What flows in: rows (means over a minute of `{series: value}`). What flows out: a verdict for each relation that is
violated for minutes. Regressions start from the fleet prior and learn the device (regression.py). In the first hours of
a device no case opens. An active verdict is kept for up to an hour of rows without an answer.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_agent.detection.anomaly import Alarms
from edge_agent.detection.relations.explanation import Observed, violated_relation
from edge_agent.detection.relations.quantities import Quantity, quantities
from edge_agent.detection.relations.regression import ROWS_AS_ONE, Prior, Regressions
from edge_agent.detection.trends.multiscale_window import Array
from edge_agent.detection.verdicts import Verdict, resumed_verdict
from edge_agent.protocol.records import Finding

INPUT_VERSION = 2
"""Changes whenever the meaning of an input or an answer does; a fleet prior of another version is refused."""
ROWS_OF_SCALES = (1, 5, 30)  # now, and slower means: a board takes minutes to warm up
WARM_ROWS = 30  # after a start, until the slowest mean is filled
SMOOTH_ROWS = 15  # rows with an answer
FEWEST_ROWS = 5
OWN_ROWS = 360  # of a relation, before it may open a case: a device may be far from its fleet
KEEP_ROWS = 60  # consecutive rows without an answer after which an active verdict decays
EXCLUDED_ROWS = 1440  # rows of an active case that are not learned
MOST = 4.0  # deviations of one row
EXPECTED_DEVIATIONS = 2.0
LEAST_OPERATIONS = 0.5  # per second: fewer do not show how fast a disk is
LEAST_BUSY = 2e-4
_Q = Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One answer, and inputs as (quantity, place in ROWS_OF_SCALES)."""

    fault: str
    inputs: tuple[tuple[Quantity, int], ...]


RELATIONS = (
    Relation(
        fault="thermal.cooling",
        inputs=((_Q.CPU, 0), (_Q.CPU, 1), (_Q.CPU, 2)),
    ),
    Relation(
        fault="disk.slow",
        inputs=((_Q.READ, 0), (_Q.WRITTEN, 0), (_Q.READS, 0), (_Q.WRITES, 0)),
    ),
    Relation(
        fault="load.unexplained",
        inputs=((_Q.CPU, 0), (_Q.CPU, 1), (_Q.IOWAIT, 0), (_Q.IOWAIT, 1), (_Q.BUSY, 0), (_Q.STARTED, 0)),
    ),
)
INPUTS = max(len(relation.inputs) for relation in RELATIONS)
_LOG_RANGES = {_Q.LOAD: 2.0, _Q.STARTED: 3.0, _Q.READ: 16.0, _Q.WRITTEN: 16.0, _Q.READS: 7.0, _Q.WRITES: 7.0}
_COUNTED = np.array(list(_LOG_RANGES), np.intp)
_LOGARITHMS = np.array(list(_LOG_RANGES.values()))
_PLACES = np.array(
    [[place * len(_Q) + q for q, place in one.inputs] + [-1] * (INPUTS - len(one.inputs)) for one in RELATIONS]
)
_LEFT, _RIGHT = np.triu_indices(INPUTS)
WIDTH = 1 + INPUTS + len(_LEFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPrior:
    """The fleet prior of the RELATIONS; all arrays begin with (relations,).

    Answers are counted from `centre` in units of `spread`. In these units `prior` describes the weights and
    `variance` the noise of rows. `bar` is the strength for one false case a week.
    """

    name: str
    prior: Prior
    variance: Array
    centre: Array
    spread: Array
    bar: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The evaluation of one row of one relation (see Relations.evaluate).

    `strength`: mean deviation of the last SMOOTH_ROWS rows; rows that are not there yet count as zero. `sustained`: the
    mean of the existing rows. `above`: the mean answer exceeds the expected range. `opens`: in addition, the row itself
    is above the expected answer, and the device has been observed for long enough.
    """

    strength: float
    sustained: float
    above: bool
    opens: bool
    observed: Observed


@dataclass(frozen=True, slots=True)
class _Row:
    """A row with an answer, in the relation's own units."""

    off: float
    answer: float
    expected: float
    uncertainty: float
    noise: float
    found: Array


@dataclass(slots=True)
class _RelationState:
    """The state of one relation: its alarm, its last rows, and its verdict while it is active."""

    alarms: Alarms
    last: deque[_Row] = field(default_factory=lambda: deque(maxlen=SMOOTH_ROWS))
    rows: int = 0  # with an answer, ever
    unanswered: int = 0  # consecutive rows without an answer
    rows_open: int = 0  # rows of the active case
    verdict: Verdict | None = None


def scaled(found: Array) -> Array:
    """Scale quantities (..., Quantity) to about 1: shares as they are, counts and rates as logarithms."""
    values = found.copy()
    values[..., _COUNTED] = np.log1p(np.maximum(found[..., _COUNTED], 0.0)) / _LOGARITHMS
    values[..., _Q.HEAT] = found[..., _Q.HEAT] / 50.0
    return values


def answers(found: Array) -> Array:
    """Return the answer of each relation (..., relations): 10 Cel; log10 of busy seconds a transfer; log1p of load."""
    operations = found[..., _Q.READS] + found[..., _Q.WRITES]
    busy = found[..., _Q.BUSY]
    valid = (operations >= LEAST_OPERATIONS) & (busy >= LEAST_BUSY)
    slow = np.log10(np.where(valid, busy, 1.0) / np.where(valid, operations, 1.0))
    load = np.log1p(np.maximum(found[..., _Q.LOAD], 0.0))
    return np.stack([found[..., _Q.HEAT] / 10.0, np.where(valid, slow, np.nan), load], axis=-1)


def named_inputs(scales: Array) -> Array:
    """From (..., scales * Quantity) to each relation's named inputs (..., relations, INPUTS), 0 beyond its own."""
    return np.where(_PLACES >= 0, scales[..., _PLACES], 0.0)


def basis_of(inputs: Array) -> Array:
    """From (..., INPUTS) to (..., WIDTH): one, the inputs, and the products of any two of them."""
    return np.concatenate([np.ones((*inputs.shape[:-1], 1)), inputs, inputs[..., _LEFT] * inputs[..., _RIGHT]], axis=-1)


class Scales:
    """Means of the quantities over each of ROWS_OF_SCALES; a missing quantity keeps its slower means."""

    def __init__(self) -> None:
        self._follow = 1.0 / np.array(ROWS_OF_SCALES, np.float64)[:, np.newaxis]
        self._means: Array = np.full((len(ROWS_OF_SCALES), len(Quantity)), np.nan)

    def step(self, values: Array) -> Array:
        """From (Quantity,) scaled to (scales * Quantity,); NaN for missing quantities."""
        here = np.isfinite(values)
        started = np.where(np.isnan(self._means), values, self._means)
        self._means = np.where(here, started + self._follow * (values - started), self._means)
        return np.where(here, self._means, np.nan).ravel()


class Relations:
    """Learns and evaluates the relations of one device, a row at a time; memory is bounded."""

    def __init__(self, fleet: FleetPrior, false_per_week: float = 1.0, step_s: float = 60.0) -> None:
        """`false_per_week`: false cases of all relations together; each has an equal share."""
        self._fleet = fleet
        self._scales = Scales()
        self._regressions = Regressions(fleet.prior)
        self._rate = (false_per_week / len(RELATIONS), step_s)
        self._states = [_RelationState(alarms) for alarms in self._new_alarms()]
        self._rows = 0

    @property
    def name(self) -> str:
        """``<name>-<version>`` of the fleet prior: the detector in findings."""
        return self._fleet.name

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that it can detect."""
        return tuple(relation.fault for relation in RELATIONS)

    def resume(self, finding: Finding) -> None:
        """Resume a finding that was open when the agent stopped; rows with an answer end it."""
        for relation, state in zip(RELATIONS, self._states, strict=True):
            if relation.fault == finding.fault:
                state.alarms.resume()
                state.verdict = resumed_verdict(finding)

    def step(self, row: Mapping[str, float]) -> list[Verdict]:
        """Evaluate a row, then learn from it; return the violated relations."""
        evaluated = self.evaluate(quantities(row))
        for relation, state, one in zip(RELATIONS, self._states, evaluated, strict=True):
            _update(relation.fault, state, one, row)
        return [state.verdict for state in self._states if state.verdict]

    def evaluate(self, found: Array) -> list[Evaluation | None]:
        """Evaluate quantities (Quantity,) for each relation; None without an answer, or with too few rows."""
        self._rows += 1
        inputs = named_inputs(self._scales.step(scaled(found)))
        answer = (answers(found) - self._fleet.centre) / self._fleet.spread
        complete = np.isfinite(inputs).all(axis=-1) & np.isfinite(answer) & (self._rows > WARM_ROWS)
        basis = basis_of(np.where(complete[:, np.newaxis], inputs, 0.0))
        usual = complete & [not 0 < state.rows_open <= EXCLUDED_ROWS for state in self._states]
        expected = self._regressions.step(basis, self._fleet.variance, np.where(usual, answer, np.nan))
        numbers = np.stack([answer, *expected], axis=-1).tolist()
        return [
            self._evaluated(place, found, *values) if here else None
            for place, (here, values) in enumerate(zip(complete.tolist(), numbers, strict=True))
        ]

    def _evaluated(
        self, place: int, found: Array, answer: float, expected: float, uncertainty: float, noise: float
    ) -> Evaluation | None:
        """Add a row, and compare the mean of the last rows with the expected mean.

        Neighbouring rows are correlated, so the noise of their mean falls more slowly; their uncertainty is shared.
        """
        state = self._states[place]
        off = float(np.clip((answer - expected) / np.sqrt(uncertainty + noise), -MOST, MOST))
        state.rows += 1
        state.last.append(_Row(off, answer, expected, uncertainty, noise, found))
        last = state.last
        if len(last) < FEWEST_ROWS:
            return None
        total = sum(row.off for row in last)
        mean, usual, uncertain, noise_mean = np.mean(
            [(row.answer, row.expected, row.uncertainty, row.noise) for row in last], axis=0
        ).tolist()
        reach = EXPECTED_DEVIATIONS * (uncertain + noise_mean * ROWS_AS_ONE / len(last)) ** 0.5
        strength, above = total / SMOOTH_ROWS, mean > usual + reach
        centre, spread = float(self._fleet.centre[place]), float(self._fleet.spread[place])
        return Evaluation(
            strength=strength,
            sustained=total / len(last),
            above=above,
            opens=above and off > 0 and state.rows >= OWN_ROWS,
            observed=Observed(
                answer=centre + spread * mean,
                low=centre + spread * (usual - reach),
                high=centre + spread * (usual + reach),
                found=np.mean([row.found for row in last], axis=0),
                confidence=min(1.0, max(0.0, strength / MOST)),
            ),
        )

    def _new_alarms(self) -> list[Alarms]:
        """Return one for each relation, without caution: the deviations include the uncertainty."""
        false_per_week, step_s = self._rate
        return [Alarms(false_per_week, step_s, start=bar, caution=0.0) for bar in self._fleet.bar.tolist()]

    def export_state(self) -> dict[str, object]:
        """Return what must outlive a reboot as a plain dictionary, fit for JSON."""
        return {
            "version": INPUT_VERSION,
            "fleet": self._fleet.name,
            "regressions": self._regressions.export_state(),
            "alarms": [state.alarms.export_state() for state in self._states],
            "rows": [state.rows for state in self._states],
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError with the reason, and then changes nothing."""
        regressions, alarms, rows = (state.get(name) for name in ("regressions", "alarms", "rows"))
        if state.get("version") != INPUT_VERSION or state.get("fleet") != self._fleet.name:
            raise ValueError("relations: state is of another version or fleet")
        if not isinstance(regressions, dict) or not isinstance(alarms, list) or len(alarms) != len(RELATIONS):
            raise ValueError("relations: regressions must be a mapping, and alarms a list of one for each relation")
        if not isinstance(rows, list) or len(rows) != len(RELATIONS) or not all(map(_is_count, rows)):
            raise ValueError("relations: rows must be a list of one count for each relation")
        restored = self._new_alarms()
        for one, learned in zip(restored, alarms, strict=True):
            one.restore_state(learned if isinstance(learned, dict) else {})
        self._regressions.restore_state(regressions)
        self._states = [_RelationState(one, rows=count) for one, count in zip(restored, rows, strict=True)]


def _update(fault: str, state: _RelationState, evaluated: Evaluation | None, row: Mapping[str, float]) -> None:
    """Step a relation's alarm, and update its verdict. Rows without an answer are only counted."""
    alarms = state.alarms
    if evaluated is None:
        state.unanswered += 1
        if state.unanswered >= KEEP_ROWS and alarms.active:
            alarms.step(None)
    else:
        state.unanswered = 0
        loud = evaluated.sustained if alarms.active else evaluated.strength if evaluated.opens else 0.0
        alarms.step(max(0.0, loud))
        state.rows_open = state.rows_open + 1 if alarms.active else 0
    if not alarms.active:
        state.verdict = None
    elif evaluated and evaluated.above:
        state.verdict = violated_relation(
            fault, row, evaluated.observed, state.verdict.component if state.verdict else None
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
