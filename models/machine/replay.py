"""Replays the rows of a machine through the device's own code.

What flows in: rows (n, channels) a second apart, the first of which are the healthy start. What flows out: the score of
each second relative to the bar, and the alarm.
"""

from dataclasses import dataclass

import numpy as np

from edge_agent.detection.machine.alarm import Alarm
from edge_agent.detection.machine.calibration import calibrate
from edge_agent.detection.machine.score import Score, Scorer
from edge_agent.detection.machine.statistics import LONGEST_S, Array
from models.machine.experiments import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """`scores` (n,), 0 in the healthy start, as are `departures` (n, STATISTICS, channels) in units of wander."""

    scores: Array
    departures: Array


def replay(rows: Array, start_rows: int) -> Replayed:
    """Score the rows after the healthy start; the windows are filled from its end."""
    scorer = Scorer(calibrate(rows[:start_rows]))
    present = np.ones(rows.shape[1], np.bool_)
    for row in rows[max(0, start_rows - LONGEST_S) : start_rows]:
        scorer.step(row, present)
    results: list[Score] = [scorer.step(row, present) for row in rows[start_rows:]]
    scores, departures = np.zeros(len(rows)), np.zeros((len(rows), *scorer.reference.shape))
    scores[start_rows:] = [one.value for one in results]
    departures[start_rows:] = [one.departures for one in results]
    return Replayed(scores=scores, departures=departures)


def alarms_of(scores: Array, start_rows: int, factor: float = 1.0) -> Labels:
    """Return the device's alarm for each row; `factor` raises the bar."""
    alarm = Alarm()
    found = np.zeros(len(scores), np.bool_)
    found[start_rows:] = [alarm.step(float(score)) for score in scores[start_rows:] / factor]
    return found


class Watched:
    """A machine in the middle of a recording: the device's score and alarm, which can be copied to try what if."""

    def __init__(self, start: Array) -> None:
        """`start` (rows, channels) is the healthy start."""
        self._scorer, self._alarm = Scorer(calibrate(start)), Alarm()
        self._present = np.ones(start.shape[1], np.bool_)
        for row in start[-LONGEST_S:]:
            self._scorer.step(row, self._present)

    def alarms(self, rows: Array) -> Labels:
        """Return the alarm of each of the next rows."""
        return np.array([self._alarm.step(self._scorer.step(row, self._present).value) for row in rows], np.bool_)
