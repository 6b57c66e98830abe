"""Calibration: what is normal for one machine, learned from its healthy start.

What flows in: the rows of the healthy start (n, channels). What flows out: a Calibration, which the score counts in.

A channel is counted in units of its own wander: the 99 % quantile of how far each statistic departs from a reference
that follows it slowly. Noise is the wrong unit: a channel may be quiet from second to second and still wander. The bar
lies above the 99 % quantile of the start's own score, and the shorter the start, the further: a start of 400 s had its
bar crossed fifteen times an hour later on, one of 4,000 s never (docs/adr/0015).
"""

import math
from dataclasses import dataclass

import numpy as np

from edge_agent.detection.machine.statistics import (
    LAGS_S,
    LEVELS_S,
    LONGEST_S,
    SPREAD_S,
    Array,
    longest_equal_runs,
    statistics_of,
)

QUANTILE = 0.99
FOLLOW_S = 600.0  # how slowly the reference follows a healthy machine
FEWEST_WINDOWS = 14  # of a statistic, in the healthy start, to evaluate by it
STILL_FACTOR = 2.0  # a run of equal readings against the longest of the start
SHORTEST_STILL_S = 10.0
_QUANTILE_BY_MEDIAN = 2.576 / 0.6745  # of the departures of normal noise
_LEAST_SHARE = 0.05  # of the noise: keeps the logarithm of a still channel finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Statistics that are scored together: rows of the statistics, their longest window, and how they are combined.

    `power`: the score is the power mean over rows and channels; a high power lets one channel carry it. `margin`: the
    bar is 1 + margin / sqrt(windows in the start) times the start's quantile. `floor`: the least wander, as a share of
    the noise for levels (white noise has .81 over ten seconds), as a difference of logarithms for the others.
    """

    name: str
    rows: tuple[int, ...]
    window_s: int
    power: float
    margin: float
    floor: tuple[float, ...]

    def usable(self, start_rows: int) -> bool:
        """Return whether a start of so many rows holds enough windows."""
        return start_rows >= (FEWEST_WINDOWS + 1) * self.window_s

    def bar_factor(self, start_rows: int) -> float:
        """Return the bar relative to the start's quantile."""
        return 1.0 + self.margin / math.sqrt((start_rows - self.window_s) / self.window_s)


_CHANGE_ROW = len(LEVELS_S) + 1
GROUPS = (
    Group(
        name="level",
        rows=tuple(range(len(LEVELS_S))),
        window_s=max(LEVELS_S),
        power=4.0,
        margin=4.4,
        floor=tuple(0.6 * math.sqrt(10 / window) for window in LEVELS_S),
    ),
    Group(name="spread", rows=(len(LEVELS_S),), window_s=SPREAD_S, power=8.0, margin=7.0, floor=(0.15,)),
    Group(
        name="change",
        rows=tuple(range(_CHANGE_ROW, _CHANGE_ROW + len(LAGS_S))),
        window_s=LONGEST_S - 1,
        power=8.0,
        margin=2.0,
        floor=(0.15,) * len(LAGS_S),
    ),
)
"""Margins and floors were chosen on the development half of SKAB, groups of experiments held out (docs/adr/0015)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What is normal: `noise` (channels,), `wander` and `reference` (STATISTICS, channels) of the scaled statistics.

    `bars`: of each of GROUPS, infinite where the start was too short for it. `still_s` (channels,): the run of equal
    readings that counts as stuck. `rows`: of the start. `certainty`: that the start was healthy, 0..1.
    """

    noise: Array
    wander: Array
    reference: Array
    bars: tuple[float, ...]
    still_s: Array
    rows: int
    certainty: float


def scaled(statistics: Array, noise: Array) -> Array:
    """From (..., STATISTICS, channels) in own units: levels by noise, spread and changes as logarithms of it."""
    values: Array = statistics / noise
    deviations = values[..., len(LEVELS_S) :, :]
    values[..., len(LEVELS_S) :, :] = np.log(deviations + _LEAST_SHARE)
    return values


def power_mean(values: Array, power: float) -> Array:
    """Return the power mean over the last axis."""
    mean: Array = (values**power).mean(axis=-1) ** (1.0 / power)
    return mean


def calibrate(rows: Array) -> Calibration:
    """Learn a healthy start (n, channels) of finite rows; every channel must have moved in it."""
    noise = rows.std(axis=0)
    found = scaled(statistics_of(rows), noise)
    reference, wander = np.empty(found.shape[1:]), np.empty(found.shape[1:])
    bars: list[float] = []
    certainty = 1.0
    for group in GROUPS:
        at = slice(group.rows[0], group.rows[-1] + 1)
        part = found[min(group.window_s, len(rows) // 2) :, at]
        off, reference[at] = _departures(part, part.mean(axis=0))
        wander[at] = np.maximum(_quantile(off, QUANTILE), np.array(group.floor)[:, np.newaxis])
        off /= wander[at]
        bar = float(_quantile(power_mean(off.reshape(len(off), -1), group.power), QUANTILE))
        bars.append(bar * group.bar_factor(len(rows)) if group.usable(len(rows)) else math.inf)
        if group is GROUPS[0]:
            certainty = _certainty(part[:, 0], group)
    return Calibration(
        noise=noise,
        wander=wander,
        reference=reference,
        bars=tuple(bars),
        still_s=np.maximum(STILL_FACTOR * longest_equal_runs(rows), SHORTEST_STILL_S),
        rows=len(rows),
        certainty=certainty,
    )


def _certainty(means: Array, group: Group) -> float:
    """Return how certain it is that a start was healthy: the share of ten-second means (n, channels) that are usual.

    The reference follows from the first means, and the unit is what neighbouring means differ by, so that a fault for
    part of the start stands out, at its begin or after its end.
    """
    window = LEVELS_S[0]
    differences = np.abs(means[window:] - means[:-window])
    usual = np.maximum(_QUANTILE_BY_MEDIAN / math.sqrt(2) * _quantile(differences, 0.5), group.floor[0])
    off, _ = _departures(means, _quantile(means[: group.window_s], 0.5))
    return float(((off / usual).max(axis=1) < group.bar_factor(len(means) + group.window_s)).mean())


def _departures(found: Array, first: Array) -> tuple[Array, Array]:
    """Return |statistic - reference| of each row, and the reference, which follows from `first`, after the last."""
    off, reference = np.empty_like(found), first.copy()
    for number, row in enumerate(found):
        off[number] = row - reference
        reference += off[number] / FOLLOW_S
    return np.abs(off, out=off), reference


def _quantile(values: Array, share: float) -> Array:
    """Return a quantile over the first axis, interpolated; np.quantile does the same but loads a MiB of code."""
    place, part = divmod(share * (len(values) - 1), 1.0)
    low, high = int(place), min(int(place) + 1, len(values) - 1)
    ordered = np.partition(values, (low, high), axis=0)
    quantile: Array = ordered[low] + part * (ordered[high] - ordered[low])
    return quantile
