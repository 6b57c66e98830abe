"""The score of one machine: how far its statistics of this second are from normal, relative to the bar.

What flows in: a row of readings (channels,), and which of them are present. What flows out: a Score.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.detection.machine.calibration import FOLLOW_S, GROUPS, Calibration, scaled
from edge_agent.detection.machine.statistics import LONGEST_S, Array, EqualRuns, RollingStatistics

STUCK = "stuck"
NETWORK = "network"
MOST_SETTLING_S = 600.0  # what counts as stuck may take longer; an open alarm does not wait for it
BAR = 0.5  # of the network's probability; training moves the logit so that this is the bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One second of one machine: 1 is the bar.

    `group` is the one that is furthest above its bar: one of GROUPS, STUCK, or NETWORK. `departures` (STATISTICS,
    channels): in units of wander, signed. `equal_s` (channels,): runs of equal readings in seconds, `still` relative to
    what counts as stuck.
    """

    value: float
    group: str
    statistics: Array
    departures: Array
    still: Array
    equal_s: Array
    present: npt.NDArray[np.bool_]
    probability: float | None = None  # of a fault, by the network if there is one


class Scorer:
    """Scores the rows of one machine against its calibration. The reference follows while a group is below its bar."""

    def __init__(self, calibration: Calibration) -> None:
        self.calibration = calibration
        self.reference = calibration.reference.copy()
        self._rolling: RollingStatistics | None = None
        self._runs = EqualRuns(len(calibration.noise))
        self._rows = 0
        self._groups = [
            (group, list(group.rows), bar)
            for group, bar in zip(GROUPS, calibration.bars, strict=True)
            if np.isfinite(bar)
        ]
        still_s = min(MOST_SETTLING_S, float(calibration.still_s.max()))
        self._settled_rows = max([still_s, GROUPS[0].window_s, *(group.window_s for group, _, _ in self._groups)])

    def restart(self) -> None:
        """Empty the windows after a gap in time; what was learned is kept."""
        self._rolling, self._rows = None, 0
        self._runs = EqualRuns(len(self.calibration.noise))

    @property
    def warm(self) -> bool:
        """Whether the windows of the levels are full."""
        return self._rows >= GROUPS[0].window_s

    @property
    def full(self) -> bool:
        """Whether all windows are full, as they were for a network in training."""
        return self._rows >= LONGEST_S

    @property
    def settled(self) -> bool:
        """Whether every usable window is full: before that a low score does not say that a fault has ended."""
        return self._rows >= self._settled_rows

    def step(self, row: Array, present: npt.NDArray[np.bool_]) -> Score:
        """Score one row of finite values; channels that are not present do not count."""
        if self._rolling is None:
            self._rolling = RollingStatistics(row)
        statistics = self._rolling.step(row)
        self._rows += 1
        off = scaled(statistics, self.calibration.noise) - self.reference
        departures = off / self.calibration.wander
        equal_s = self._runs.step(row)
        still = np.where(present, equal_s / self.calibration.still_s, 0.0)
        scores = {STUCK: float(still.max())}
        for group, rows, bar in self._groups:
            if self._rows >= group.window_s:
                scores[group.name] = _score(departures[rows], present, group.power) / bar
                if scores[group.name] < 1.0:
                    self.reference[rows] += off[rows] * (present / FOLLOW_S)
        largest = max(scores, key=scores.__getitem__)
        return Score(
            value=scores[largest],
            group=largest,
            statistics=statistics,
            departures=departures,
            still=still,
            equal_s=equal_s,
            present=present,
        )


def _score(departures: Array, present: npt.NDArray[np.bool_], power: float) -> float:
    """Return the power mean over the channels that are present; 0 without any."""
    part = departures if present.all() else departures[:, present]
    return float((np.abs(part) ** power).mean() ** (1.0 / power)) if part.size else 0.0


def shares_of(score: Score) -> Array:
    """Return each channel's share (channels,) in a score; they add up to 1."""
    if score.group == STUCK:
        weights = np.where(score.still >= 1.0, score.still, 0.0)
    else:
        group = next((one for one in GROUPS if one.name == score.group), GROUPS[0])
        weights = (np.abs(score.departures[list(group.rows)]) ** group.power).sum(axis=0) * score.present
    total = float(weights.sum())
    shares: Array = weights / total if total > 0 else np.zeros(len(score.still))
    return shares
