"""What support staff would have got: alarms become cases of one hour, and cases are held against labelled events.

What flows in: labels, alarms and scores of rows. What flows out: Cases, and the figures made of them. Pure.

An event is an unbroken run of labelled rows. It counts as found if an alarm lies between ten minutes before its start
and its end. An alarm opens a case; alarms during the hour after it join that case. A case that opens outside every
event, and outside the ten minutes around it, is false. There is no point adjustment anywhere.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_agent.detection.anomaly.baseline import Array

Labels = npt.NDArray[np.bool_]

CASE_S = 3600.0
NEAR_S = 600.0
WEEK_S = 7 * 86_400.0
MOST_OVER = 15  # thresholds beyond the budget after which a search stops: F1 won't come back
SEARCHED = np.unique(np.geomspace(1e-5, 0.3, 400))
"""Shares of all rows that may lie above a threshold: where a search looks."""


@dataclass(frozen=True, slots=True)
class Cases:
    """Events found, all events, cases about nothing, and for each event found the seconds to its first alarm."""

    found: int
    events: int
    false: int
    delays_s: tuple[float, ...] = ()

    @property
    def precision(self) -> float:
        """Share of the opened cases that were true."""
        return self.found / (self.found + self.false) if self.found + self.false else 0.0

    @property
    def recall(self) -> float:
        """Share of the events that were detected."""
        return self.found / self.events if self.events else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def delay_min(self, quantile: float) -> float | None:
        """Minutes from the start of an event to its first alarm; None if nothing was found."""
        return float(np.quantile(self.delays_s, quantile)) / 60 if self.delays_s else None


def total(many: Iterable[Cases]) -> Cases:
    """Add up the cases of several machines."""
    listed = list(many)
    return Cases(
        found=sum(one.found for one in listed),
        events=sum(one.events for one in listed),
        false=sum(one.false for one in listed),
        delays_s=tuple(delay for one in listed for delay in one.delays_s),
    )


class Truth:
    """The labelled events of one machine, ready to be held against many alarms."""

    def __init__(self, label: Labels, period_s: float) -> None:
        self.label = label
        self.period_s = period_s
        self.weeks = len(label) * period_s / WEEK_S
        self._case_rows = max(1, int(CASE_S / period_s))
        near_rows = int(NEAR_S / period_s)
        self._starts, self._ends = runs(label)
        self._earliest = np.maximum(0, self._starts - near_rows)
        self._near = np.zeros(len(label), np.bool_)
        for start, end in zip(self._earliest, self._ends, strict=True):
            self._near[start : end + near_rows] = True

    def cases(self, alarm: Labels) -> Cases:
        """Count what these alarms are worth."""
        rows = np.flatnonzero(alarm)
        # past the last alarm stands one that is in no event
        first = np.append(rows, len(alarm))[np.searchsorted(rows, self._earliest)]
        hit = first < self._ends
        openings = _openings(rows.tolist(), self._case_rows)
        return Cases(
            found=int(hit.sum()),
            events=len(self._starts),
            false=int((~self._near[openings]).sum()),
            delays_s=tuple(((first - self._starts)[hit] * self.period_s).tolist()),
        )


def runs(label: Labels) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First row of each event, and the row after its last."""
    edges = np.diff(label.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def false_per_week(truths: Sequence[Truth], cases: Cases) -> float:
    """False cases for each week of one machine."""
    return cases.false / sum(truth.weeks for truth in truths)


class Best(NamedTuple):
    """The best that one threshold can do, and that threshold."""

    cases: Cases
    threshold: float


def best_at(truths: Sequence[Truth], scores: Sequence[Array], most_false: float) -> Best:
    """Search the one threshold that finds most with at most so many false cases, of equal ones the lowest.

    The labels choose it, so this measures the scores, not what a device will do.
    """
    best = Best(total(_at(truths, scores, np.inf)), np.inf)
    over = 0
    for threshold in np.unique(np.quantile(np.concatenate(scores), 1 - SEARCHED))[::-1]:
        cases = total(_at(truths, scores, float(threshold)))
        if cases.false <= most_false:
            best = Best(cases, float(threshold)) if cases.found >= best.cases.found else best
        else:
            over += 1
            if over > MOST_OVER:
                break
    return best


def best_of_fleet(truths: Sequence[Truth], scores: Sequence[Array], per_week: float = 1.0) -> Cases:
    """One threshold for a whole fleet, with at most `per_week` false cases a device-week over all of it."""
    return best_at(truths, scores, sum(truth.weeks for truth in truths) * per_week + _ROUNDING).cases


def best_of_each(truths: Sequence[Truth], scores: Sequence[Array], per_week: float = 1.0) -> Cases:
    """Each machine its own threshold, within its own whole number of false cases: what calibration alone could win."""
    return total(
        best_at([truth], [score], np.floor(truth.weeks * per_week) + _ROUNDING).cases
        for truth, score in zip(truths, scores, strict=True)
    )


_ROUNDING = 1e-9


def _at(truths: Sequence[Truth], scores: Sequence[Array], threshold: float) -> list[Cases]:
    return [truth.cases(score >= threshold) for truth, score in zip(truths, scores, strict=True)]


def _openings(rows: list[int], length: int) -> list[int]:
    """Of the rows with an alarm, those that open a case: each case lasts `length` rows."""
    openings, place = [], 0
    while place < len(rows):
        openings.append(rows[place])
        place = bisect_left(rows, rows[place] + length, place)
    return openings
