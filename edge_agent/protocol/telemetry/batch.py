"""The columnar batch, its limits, and the number formats and dictionaries that both directions of the codec share."""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_agent.protocol.instant import Instant

MAX_RECORD_BYTES = 1 << 20  # inflated; a record that grows beyond it is hostile
MAX_CELLS = 1 << 16  # readings in one batch: the largest still fit into a record, whatever they are
MAX_COLUMNS = 4096  # series times aggregates
LARGEST_MULTIPLE = 2.0**53  # of the resolution that a float64 tells apart; what is larger becomes this
FINEST, COARSEST = 1e-12, 1e12  # resolutions
U1, I1, I2, I4, I8 = map(np.dtype, ("<u1", "<i1", "<i2", "<i4", "<i8"))
WIDTHS = {1: I1, 2: I2, 4: I4, 8: I8}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Integers = npt.NDArray[np.int64]


def _dictionary(name: str) -> bytes:
    return files("edge_agent.protocol").joinpath(name).read_bytes()


NEWEST = _dictionary("telemetry-1.dict")
DICTIONARIES = {zlib.adler32(one): one for one in (NEWEST,)}  # all there ever were, by the checksum that names them


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One series in a batch: `values` are float64 multiples of `resolution`, NaN where nothing was read."""

    series: str
    aggregate: str  # "mean", "min", "max" over each period, or "last" for single readings
    unit: str
    resolution: float
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Equally spaced readings: row i of each column belongs to `start` + i * `period_s`.

    Columns are ordered by aggregate, and every aggregate has the same series in the same order.
    """

    start: Instant
    period_s: float
    columns: tuple[Column, ...]


def check_size(columns: int, rows: Any) -> None:
    """Raise ValueError unless a batch of this shape is within the limits."""
    if type(rows) is not int or not 0 < columns <= MAX_COLUMNS or not 0 < rows * columns <= MAX_CELLS:
        limits = f"1 to {MAX_COLUMNS} columns and {MAX_CELLS} readings"
        raise ValueError(f"{rows!r:.80} rows of {columns} columns; a batch holds {limits}")
