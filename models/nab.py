"""The Numenta Anomaly Benchmark's scoring. Source: Lavin and Ahmad, arXiv 1510.03336, and the benchmark's rules.

What flows in: streams, their labelled windows, and a score for each row. What flows out: points, from 0 (nothing
ever detected) to 100 (every window detected in its first row, and nothing else).

- The first 15 % of a stream's rows (at most 750) are probation and don't count, nor do windows within it.
- The earliest detection in a window earns up to 1, by a sigmoid that falls towards the window's end; a window
  without any costs `missed`.
- Each row above the threshold outside of windows costs up to `false`, less close behind a window.
- One threshold for the whole corpus: the best one, unless it is given.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_agent.detection.anomaly.baseline import Array
from models.datasets import DataError, Stream, load_stream

NOTHING = 1.1  # the benchmark's threshold that no score reaches
_OUTSIDE = -1
_Windows = npt.NDArray[np.int64]


class Profile(NamedTuple):
    """What a missed window and a false row cost."""

    missed: float
    false: float


PROFILES = {
    "standard": Profile(1.0, 0.11),
    "reward_low_FP_rate": Profile(1.0, 0.22),
    "reward_low_FN_rate": Profile(2.0, 0.11),
}


class Points(NamedTuple):
    """What a detector earns, and at which threshold."""

    points: float
    threshold: float


class Corpus:
    """All streams with their windows, ready to be held against many detectors."""

    def __init__(
        self, streams: Mapping[str, Stream], windows: Mapping[str, Sequence[tuple[datetime, datetime]]]
    ) -> None:
        """`streams` and `windows` by file. Raises DataError if a window's ends are no timestamps of its stream."""
        self.files = sorted(windows)
        self.windows = 0
        self._counts: dict[str, npt.NDArray[np.bool_]] = {}
        worth, window = [], []
        for file in self.files:
            spans = _spans(file, streams[file], windows[file])
            stream_worth, stream_window = _worth(len(streams[file].values), spans)
            counts = _after_probation(len(stream_worth))
            worth.append(stream_worth[counts])
            window.append(np.where(stream_window >= 0, stream_window + self.windows, _OUTSIDE)[counts])
            self._counts[file] = counts
            self.windows += len(spans)
        self._worth, self._window = np.concatenate(worth), np.concatenate(window)
        self._scored = np.unique(self._window[self._window >= 0])

    def rows(self, file: str) -> int:
        """How many rows a stream has."""
        return len(self._counts[file])

    def best(self, scores: Mapping[str, Array], profile: Profile) -> Points:
        """Points at the threshold that earns most: the labels choose it."""
        thresholds, raw = self._raw(scores, profile)
        place = int(np.argmax(raw))
        return Points(self._normal(float(raw[place]), profile), float(thresholds[place]))

    def at(self, scores: Mapping[str, Array], profile: Profile, threshold: float) -> Points:
        """Points at a given threshold: every row whose score reaches it is a detection."""
        thresholds, raw = self._raw(scores, profile)
        place = int(np.flatnonzero((thresholds >= threshold) | (thresholds == NOTHING))[-1])
        return Points(self._normal(float(raw[place]), profile), threshold)

    def _raw(self, scores: Mapping[str, Array], profile: Profile) -> tuple[Array, Array]:
        """Thresholds from the highest to the lowest, and what the corpus earns at each."""
        score = np.concatenate([scores[file][self._counts[file]] for file in self.files])
        order = np.argsort(-score, kind="stable")
        score, window, worth = score[order], self._window[order], self._worth[order]
        gain = np.where(window == _OUTSIDE, worth * profile.false, 0.0)
        for number in self._scored:
            rows = np.flatnonzero(window == number)
            earned = np.maximum.accumulate(np.append(-profile.missed, worth[rows]))
            gain[rows] = np.diff(earned)
        nothing = -profile.missed * len(self._scored)
        last_of_tie = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
        raw = nothing + np.cumsum(gain)[last_of_tie]
        return np.append(NOTHING, score[last_of_tie]), np.append(nothing, raw)

    def _normal(self, raw: float, profile: Profile) -> float:
        nothing = -profile.missed * len(self._scored)
        return 100 * (raw - nothing) / (self.windows - nothing)


def load_corpus(folder: Path) -> Corpus:
    """Read windows.json and all streams it names. Raises DataError."""
    path = folder / "windows.json"
    try:
        listed: dict[str, list[list[str]]] = json.loads(path.read_text())
        windows = {
            file: [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in spans]
            for file, spans in listed.items()
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise DataError(f"{path}: must map each csv file to its [start, end] windows: {error}") from None
    return Corpus({file: load_stream(folder / file) for file in windows}, windows)


def _spans(file: str, stream: Stream, windows: Sequence[tuple[datetime, datetime]]) -> list[tuple[int, int]]:
    """First and last row of each window."""
    rows: dict[datetime, int] = {}
    for row, time in enumerate(stream.times.tolist()):
        rows.setdefault(time, row)
    try:
        return [(rows[start], rows[end]) for start, end in windows]
    except KeyError as error:
        raise DataError(f"{file}: windows.json has {error.args[0]}, which is no timestamp of the file") from None


def _worth(rows: int, spans: Sequence[tuple[int, int]]) -> tuple[Array, _Windows]:
    """What a detection in each row is worth before weights, and the window it is in."""
    worth, window = np.full(rows, -1.0), np.full(rows, _OUTSIDE)
    for number, (first, last) in enumerate(spans):
        width = float(last - first + 1)
        inside = np.arange(first, last + 1)
        worth[inside] = _sigmoid(-(last - inside + 1) / width) / _sigmoid(np.array(-1.0))
        window[inside] = number
        after = np.arange(last + 1, spans[number + 1][0] if number + 1 < len(spans) else rows)
        worth[after] = _sigmoid((after - last) / max(width - 1, 1e-9))
    return worth, window


def _sigmoid(place: Array) -> Array:
    """From 1 far before the end of a window, through 0 at it, to -1 from three widths behind it."""
    return np.where(place > 3, -1.0, 2 / (1 + np.exp(np.minimum(5 * place, 500))) - 1)


def _after_probation(rows: int) -> npt.NDArray[np.bool_]:
    counts: npt.NDArray[np.bool_] = np.arange(rows) >= min(np.floor(0.15 * rows), 750)
    return counts
