"""Recordings of chosen series, for training: one line a second.

What flows in: samples. What flows out: a csv file; the first line names the columns: uptime_s, then the series.
Series names may hold commas, so that columns are separated by semicolons. A missing reading is an empty field.
"""

import fnmatch
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

SEPARATOR = ";"
TIME_COLUMN = "uptime_s"
SYNC_EVERY_ROWS = 60  # a power cut loses at most a minute


def chosen_series(patterns: Sequence[str], present: Sequence[str]) -> list[str]:
    """Return the present series that are named or match a pattern.

    Raises ValueError for a pattern that matches none, and for a series that can't be the name of a column.
    """
    chosen: list[str] = []
    for pattern in patterns:
        found = [pattern] if pattern in present else sorted(fnmatch.filter(present, pattern))
        if not found:
            raise ValueError(f"no series matches {pattern!r}; edge-agent sample lists them")
        if unfit := next((series for series in found if SEPARATOR in series or not series.isprintable()), None):
            raise ValueError(f"series {unfit!r} can't name a column: rename it without {SEPARATOR!r} and line breaks")
        chosen += [series for series in found if series not in chosen]
    return chosen


class SeriesRecording:
    """Writes a recording row by row. An existing file is never overwritten."""

    def __init__(self, path: Path, series: Sequence[str]) -> None:
        """Raises OSError, FileExistsError among them."""
        self._file = path.open("x")
        self._series = series
        self._rows = 0
        self._file.write(SEPARATOR.join([TIME_COLUMN, *series]) + "\n")

    def add(self, uptime_s: float, values: Mapping[str, float]) -> None:
        """Add one row."""
        fields = [f"{uptime_s:.3f}", *(_written(values.get(series)) for series in self._series)]
        self._file.write(SEPARATOR.join(fields) + "\n")
        self._rows += 1
        if self._rows % SYNC_EVERY_ROWS == 0:
            self._file.flush()
            os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def record(path: Path, series: Sequence[str], sample: Callable[[], tuple[float, Mapping[str, float]] | None]) -> int:
    """Record what `sample` returns, uptime and values, until it returns None; return the number of rows."""
    rows = 0
    with SeriesRecording(path, series) as recording:
        while (taken := sample()) is not None:
            recording.add(*taken)
            rows += 1
    return rows


def _written(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"
