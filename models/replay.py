"""Replay a recording row by row through the agent's own detection.

What flows in: a Recording (rows of channels, and the rows before them as history) and a Way (the settings).
What flows out: for each row its score and whether the device would have opened a case.

A row's score and alarm depend on the history and on the rows up to it, never on later ones, and labels are never
seen. Rows are taken one step apart, as a device samples by its own clock: timestamps only give the step.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edge_agent.detection.anomaly import Alarms
from edge_agent.detection.anomaly.baseline import Array
from edge_agent.detection.anomaly.scorer import Score, Scorer
from models.case_metrics import Labels
from models.datasets import DEFAULT_PERIOD_S, PERIODS_S, DataError, load_stream, period_of, read_npz, read_rows

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What can be replayed. `remarks` describe tolerated irregularities."""

    path: Path
    period_s: float
    history: Array
    rows: Array
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Settings of a replay: length of history (None: all of it), and allowed rate of false cases."""

    history_s: float | None = None
    false_per_week: float = 1.0


class Replayed(NamedTuple):
    """Scores and alarms of the replayed rows.

    `score` and `alarm` are of each row after the history. `score` ranks rows, 0..1: from a half on are those at which a
    case opens, below it all others, each by the Scorer's value. `strength` is of each row of the history too, NaN where
    the device was not ready to decide. `dropped` counts the readings that the Scorer dropped, history included.
    """

    score: Array
    alarm: Labels
    strength: Array
    dropped: int


def load_recording(path: Path, given_period_s: float | None = None) -> Recording:
    """Read an npz (`train`, `test`, optional `period_s`) or a csv (timestamp,value). Raises DataError."""
    if path.suffix == ".csv":
        stream = load_stream(path)
        rows = stream.values[:, np.newaxis]
        odd = [f"{stream.steps_amiss} timestamps not after the one before"] if stream.steps_amiss else []
        return Recording(
            path=path, period_s=stream.period_s, history=rows[:0], rows=rows, remarks=(*odd, *_oddities(rows))
        )
    if path.suffix != ".npz":
        raise DataError(f"{path}: is neither .npz nor .csv; convert it to one of them")
    arrays = read_npz(path)
    history, rows = read_rows(path, arrays)
    known = "period_s" in arrays or given_period_s or path.resolve().parent.name in PERIODS_S
    guess = [] if known else [f"no period_s: {DEFAULT_PERIOD_S:g} s assumed; set it with --period-s"]
    return Recording(
        path=path,
        period_s=period_of(path, arrays, given_period_s),
        history=history,
        rows=rows,
        remarks=(*guess, *_oddities(np.concatenate([history, rows]))),
    )


def _oddities(rows: Array) -> list[str]:
    finite = np.isfinite(rows)
    lowest = np.where(finite, rows, np.inf).min(axis=0)
    constant = int((lowest == np.where(finite, rows, -np.inf).max(axis=0)).sum())
    empty = int((~finite).all(axis=0).sum())
    counts = {"readings not finite": int((~finite).sum()), "channels constant": constant, "channels empty": empty}
    return [f"{count} {what}" for what, count in counts.items() if count]


def replay(recording: Recording, way: Way) -> Replayed:
    """Score the rows of a recording after its history."""
    history = recording.history
    if way.history_s is not None:
        history = history[max(0, len(history) - round(way.history_s / recording.period_s)) :]
    scorer = Scorer(step_s=recording.period_s)
    names = [f"channel{number}" for number in range(recording.rows.shape[1])]
    scores: list[Score] = []
    rows = np.concatenate([history, recording.rows])
    samples: list[dict[str, float]] = [dict(zip(names, row.tolist(), strict=True)) for row in rows]
    for number, sample in enumerate([*samples, {}]):  # a row is finished by the first sample after it
        # the middle of each step, so that rounding never puts two rows into one
        time_s = (number + 0.5) * recording.period_s
        score = scorer.step(sample, time_s, time_s)
        scores += [score] if score else []
    strength = np.array([score.strength if score.ready else np.nan for score in scores])
    alarm = decide(strength, Alarms(way.false_per_week, recording.period_s))
    after_history = slice(len(history), None)
    return Replayed(
        score=((np.array([score.value for score in scores]) + alarm) / 2)[after_history],
        alarm=alarm[after_history],
        strength=strength,
        dropped=scorer.dropped_values,
    )


def decide(strength: Array, alarms: Alarms) -> Labels:
    """Return at which rows cases open. NaN: the device is not ready to decide."""
    known = np.isfinite(strength).tolist()
    decisions = zip(strength.tolist(), known, strict=True)
    return np.array([alarms.step(one if ready else None).alarm for one, ready in decisions], np.bool_)
