"""Theil-Sen: a robust line through a window, and whether its fall is steady. In: points; out: a slope."""

import math
from dataclasses import dataclass

import numpy as np

from edge_agent.detection.trends.multiscale_window import Array

_Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class Slope:
    """A robust slope: change per second with its 95 % interval."""

    per_s: float
    low_per_s: float
    high_per_s: float


def theil_sen(t: Array, v: Array) -> Slope:
    """Return the median of all pairwise slopes, with an interval by Sen's method from Kendall's variance.

    `t` rises strictly, both have n >= 3 points. Source: P. K. Sen, J. Am. Stat. Assoc. 63 (1968), 1379-1389.
    """
    n = len(t)
    first, second = np.triu_indices(n, 1)
    slopes = np.sort((v[second] - v[first]) / (t[second] - t[first]))
    spread = _Z_95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, int((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))


def steady(t: Array, v: Array, slope: Slope) -> bool:
    """Return whether every third of the window falls, and the last one at least a third as fast as the whole.

    A single step, a sawtooth (log rotation, garbage collection) and a fall that has ended are all rejected. The rate of
    a third is measured between the means of its halves, since single points are noisy. The newest point must fall, too.
    """
    thirds = zip(np.array_split(t, 3), np.array_split(v, 3), strict=True)
    rates = [_rate(times, values) for times, values in thirds]
    newest = v[-1] < np.median(v[-max(3, len(v) // 3) :])
    return bool(newest and max(rates) < 0 and rates[-1] <= slope.per_s / 3)


def _rate(t: Array, v: Array) -> float:
    half = (len(t) + 1) // 2
    return float((v[half:].mean() - v[:half].mean()) / (t[half:].mean() - t[:half].mean()))
