"""A recording, row by row, through the agent's own detection: what a device would have said of it.

What flows in: a Recording (rows of channels, and the rows before them as history) and a Way of judging.
What flows out: for each row its score and whether the device would have spoken up.

A row's score and alarm depend on the history and on the rows up to it, never on later ones, and labels are never
seen. Rows are taken one step apart, as a device samples by its own clock: timestamps only give the step.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_agent.detection.alarms import Alarms
from edge_agent.detection.baseline import Array
from edge_agent.detection.scoring import NET_WEIGHT, Net, Score, Scorer
from edge_agent.model import load_net
from models.datasets import DEFAULT_PERIOD_S, PERIODS_S, DataError, load_stream, period_of, read_npz, read_rows
from models.dense import WEIGHTS_FILE, load_dense
from models.events import Labels

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What can be replayed. `remarks` say in words what is odd about it and was borne."""

    path: Path
    period_s: float
    history: Array
    rows: Array
    remarks: tuple[str, ...]


class NetKind(StrEnum):
    """Which network judges beside level and jump."""

    INT8 = "int8"  # the one that devices run
    FLOAT32 = "float32"  # its weights before rounding
    NONE = "none"  # no network: level and jump alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How to judge: with which network of which artifact, after how much history (None: all there is)."""

    artifact: Path
    net: NetKind = NetKind.INT8
    history_s: float | None = None


class Replayed(NamedTuple):
    """Score and alarm of each row, and how many readings the Scorer dropped on the way, history included."""

    score: Array
    alarm: Labels
    dropped: int


class Silence:
    """A Net that has nothing to say: what level and jump do by themselves."""

    name = "none"

    def __init__(self, window: int) -> None:
        self.window = window

    def judge(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Nothing is unusual."""
        return np.zeros(len(windows), np.float32)


def load_recording(path: Path, told_period_s: float | None = None) -> Recording:
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
    known = "period_s" in arrays or told_period_s or path.resolve().parent.name in PERIODS_S
    guess = [] if known else [f"no period_s: {DEFAULT_PERIOD_S:g} s taken, --period-s says otherwise"]
    return Recording(
        path=path,
        period_s=period_of(path, arrays, told_period_s),
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


def load_way(way: Way) -> tuple[Net, float]:
    """Return the network and its weight. Raises ModelError or DataError."""
    net = load_net(way.artifact)
    if way.net is NetKind.NONE:
        return Silence(net.window), 0.0
    if way.net is NetKind.INT8:
        return net, NET_WEIGHT
    try:
        return load_dense(way.artifact / WEIGHTS_FILE, net.name), NET_WEIGHT
    except ValueError as error:
        raise DataError(f"{error}; train it anew") from None


def replay(recording: Recording, way: Way) -> Replayed:
    """Judge the rows of a recording after its history."""
    net, net_weight = load_way(way)
    history = recording.history
    if way.history_s is not None:
        history = history[max(0, len(history) - round(way.history_s / recording.period_s)) :]
    scorer = Scorer(net, step_s=recording.period_s, net_weight=net_weight)
    alarms = Alarms(step_s=recording.period_s)
    names = [f"channel{number}" for number in range(recording.rows.shape[1])]
    values: list[float] = []
    alarmed: list[bool] = []

    def decide(score: Score | None) -> None:
        if score is not None:
            values.append(score.value)
            alarmed.append(alarms.step(score.strength if score.ready else None).alarm)

    rows = np.concatenate([history, recording.rows])
    for number, row in enumerate(rows):
        # the middle of each step, so that rounding never puts two rows into one
        decide(scorer.step(dict(zip(names, row.tolist(), strict=True)), (number + 0.5) * recording.period_s))
    # the last row is finished by the first sample after it
    decide(scorer.step({}, (len(rows) + 0.5) * recording.period_s))
    judged = slice(len(history), None)
    return Replayed(np.array(values)[judged], np.array(alarmed, np.bool_)[judged], scorer.dropped_values)
