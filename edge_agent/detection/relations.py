"""Relations between named quantities of a host: hotter, slower or more loaded than all the rest explains.

    row ─> quantities ─> now, mean of 5 rows, of 30 rows ─┬─> named inputs ──────────┐
                                                          └─> net, its own hidden ───┴─> basis ─> regressions
    answer against what was expected, in deviations ─> mean of 15 rows ─> strength ─> alarms

What flows in: rows (means over a minute of `{series: value}`). What flows out: a verdict for each relation that is
broken for minutes. Everything but the fleet's knowledge is learnt on the device (regression.py).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_agent.detection.alarms import START, Alarms
from edge_agent.detection.quantities import Quantity, quantities
from edge_agent.detection.regression import Prior, Regressions
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.detection.windows import Array
from edge_agent.protocol.metrics import metric_of, series_name
from edge_agent.protocol.records import Carrier

INPUT_VERSION = 1
"""Changes whenever the meaning of an input or an answer does; knowledge of another version is refused."""
ROWS_OF_SCALES = (1, 5, 30)  # now, and means that follow so slowly: a board takes minutes to warm up
WARM_ROWS = 30  # after a start: the slowest mean isn't one before
SMOOTH_ROWS = 15  # valid ones
FEWEST_ROWS = 5
MOST = 4.0  # deviations of one row
EXPECTED_DEVIATIONS = 2.0
LEAST_OPERATIONS = 0.5  # a second: fewer say nothing of how fast a disk is
LEAST_BUSY = 2e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """One answer and what it is read from: (quantity, place in ROWS_OF_SCALES). A net must not see what it `hides`."""

    fault: str
    inputs: tuple[tuple[Quantity, int], ...]
    hides: frozenset[Quantity]


_Q = Quantity
RELATIONS = (
    Relation(
        fault="thermal.cooling",
        inputs=((_Q.CPU, 0), (_Q.CPU, 1), (_Q.CPU, 2)),
        hides=frozenset({_Q.HEAT, _Q.FAN}),
    ),
    Relation(
        fault="disk.slow",
        inputs=((_Q.READ, 0), (_Q.WRITTEN, 0), (_Q.READS, 0), (_Q.WRITES, 0)),
        hides=frozenset({_Q.BUSY, _Q.IOWAIT, _Q.LOAD}),
    ),
    Relation(
        fault="load.unexplained",
        inputs=((_Q.CPU, 0), (_Q.CPU, 1), (_Q.IOWAIT, 0), (_Q.IOWAIT, 1), (_Q.BUSY, 0), (_Q.STARTED, 0)),
        hides=frozenset({_Q.LOAD}),
    ),
)
INPUTS = max(len(relation.inputs) for relation in RELATIONS)
_SIZES = {
    _Q.LOAD: 2.0, _Q.FAULTS: 3.0, _Q.STARTED: 3.0, _Q.PROCESSES: 5.0, _Q.FILES: 8.0, _Q.READ: 16.0, _Q.WRITTEN: 16.0,
    _Q.READS: 7.0, _Q.WRITES: 7.0, _Q.RECEIVED: 14.0, _Q.SENT: 14.0, _Q.PACKETS_IN: 8.0, _Q.PACKETS_OUT: 8.0,
    _Q.LOST: 3.0,
}  # fmt: skip
_COUNTED = np.array(list(_SIZES), np.intp)
_LOGARITHMS = np.array(list(_SIZES.values()))
_PLACES = np.array(
    [[place * len(_Q) + q for q, place in one.inputs] + [-1] * (INPUTS - len(one.inputs)) for one in RELATIONS]
)


def squashed(found: Array) -> Array:
    """Bring quantities (..., Quantity) to the size of 1: shares as they are, counts and rates as logarithms."""
    values = found.copy()
    values[..., _COUNTED] = np.log1p(np.maximum(found[..., _COUNTED], 0.0)) / _LOGARITHMS
    values[..., _Q.HEAT] = found[..., _Q.HEAT] / 50.0
    values[..., _Q.FAN] = np.where(np.isnan(found[..., _Q.FAN]), np.nan, found[..., _Q.FAN] > 0)
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
    """Pick the named inputs of each relation: (..., scales * Quantity) to (..., relations, INPUTS), 0 beyond its own."""
    return np.where(_PLACES >= 0, scales[..., _PLACES], 0.0)


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
