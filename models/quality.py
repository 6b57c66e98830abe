"""How good scores are against labels: pure functions, no point adjustment anywhere.

What flows in: labels and scores of rows. What flows out: figures.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_agent.detection.baseline import Array

Labels = npt.NDArray[np.bool_]

CASE_S = 3600.0  # an alarm opens a support case of this length; alarms while it is open join it
NEAR_S = 600.0  # an alarm this long before an event still found it; a case this near to it isn't false
WEEK_S = 7 * 86_400.0


class Cases(NamedTuple):
    """What support staff would have got: events found, all events, and cases about nothing."""

    found: int
    events: int
    false: int

    def __add__(self, other: object) -> "Cases":
        """Sum of two machines."""
        if not isinstance(other, Cases):
            return NotImplemented
        return Cases(self.found + other.found, self.events + other.events, self.false + other.false)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision (found / (found + false)) and recall (found / events)."""
        return 2 * self.found / (self.found + self.false + self.events) if self.events + self.false else 0.0


def auc_pr(label: Labels, score: Array) -> float:
    """Area under precision over recall, point-wise (average precision; tied scores make one step)."""
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], label[order].astype(np.float64)
    last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    found = np.cumsum(hits)[last_of_tie]
    if not found[-1]:
        return float("nan")
    return float((np.diff(found, prepend=0.0) * found / (last_of_tie + 1)).sum() / found[-1])


def auc_roc(label: Labels, score: Array) -> float:
    """How often a labelled row outranks one that is not (a tie is half): 0.5 is guessing, whatever the shares."""
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    hits, others = int(label.sum()), int((~label).sum())
    if not hits or not others:
        return float("nan")
    return float((rank[label].sum() - hits * (hits + 1) / 2) / (hits * others))


def count_cases(label: Labels, alarm: Labels, period_s: float) -> Cases:
    """Turn alarms into one-hour cases, and count what they are worth."""
    length, near = max(1, int(CASE_S / period_s)), int(NEAR_S / period_s)
    edges = np.diff(np.concatenate([[0], label.astype(np.int8), [0]]))
    events = list(zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True))
    found, close = 0, np.zeros(len(label), np.bool_)
    for start, end in events:
        found += bool(alarm[max(0, start - near) : end].any())
        close[max(0, start - near) : end + near] = True
    false, open_until = 0, -1
    for row in np.flatnonzero(alarm).tolist():
        if row >= open_until:
            false += not close[row]
            open_until = row + length
    return Cases(found, len(events), false)


def at_threshold(
    labels: list[Labels], scores: list[Array], periods_s: list[float], threshold: float
) -> tuple[Cases, float]:
    """All machines at one threshold: their cases, and false ones for each week of one machine."""
    total = Cases(0, 0, 0)
    for label, score, period_s in zip(labels, scores, periods_s, strict=True):
        total += count_cases(label, score >= threshold, period_s)
    weeks = sum(len(label) * period_s for label, period_s in zip(labels, periods_s, strict=True)) / WEEK_S
    return total, total.false / weeks
