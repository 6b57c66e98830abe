"""Encode a batch as a record: scaled integers, delta-coded, in CBOR typed arrays (RFC 8746), deflated."""

import zlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from edge_agent.protocol import cbor
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.telemetry.batch import (
    COARSEST,
    EPOCH,
    FINEST,
    I2,
    I4,
    I8,
    LARGEST_MULTIPLE,
    MAX_RECORD_BYTES,
    NEWEST,
    WIDTHS,
    Batch,
    Column,
    Integers,
    check_size,
)

_NEIGHBOURS = (1, 2, 3)  # columns back that a column may run along with; more earn nothing
_CONTROLS = dict.fromkeys(range(32), "_")


def pack(batch: Batch) -> bytes:
    """Encode one batch as one record of the telemetry lane. Raises ValueError when it is not what Batch says."""
    aggregates, series = _layout(batch.columns)
    values = np.array([column.values for column in batch.columns])
    resolutions = np.array([column.resolution for column in batch.columns])
    check_size(len(batch.columns), values.shape[-1])
    present = np.isfinite(values)
    scaled = _scaled(values, present, resolutions[:, None])
    like = _likenesses(scaled, len(series))
    rest = _rest(scaled, like)
    differences = np.diff(rest)
    widths = _widths(differences)
    raw = {
        "at": _instant_out(batch.start),
        "period_s": batch.period_s,
        "rows": values.shape[1],
        "aggregates": aggregates,
        "schema": "".join(f"{_line(column)}\n" for column in series),
        "like": like.astype(I2),
        "width": widths,
        "first": rest[:, 0].astype(I8),
        "differences": [
            differences[widths == width].astype(dtype).ravel() for width, dtype in WIDTHS.items() if width in widths
        ],
    }
    if not present.all():
        raw["missing"] = np.diff(np.flatnonzero(~present), prepend=0).astype(I4)
    return _deflate(cbor.dumps(raw))


def _layout(columns: tuple[Column, ...]) -> tuple[list[str], list[Column]]:
    """Return the aggregates, and one column for each series."""
    aggregates = list(dict.fromkeys(column.aggregate for column in columns))
    series = list(columns[: len(columns) // len(aggregates)]) if columns else []
    expected = [(aggregate, _line(column)) for aggregate in aggregates for column in series]
    if [(column.aggregate, _line(column)) for column in columns] != expected:
        raise ValueError("every aggregate must have the same series in the same order")
    return aggregates, series


def _line(column: Column) -> str:
    if not FINEST <= column.resolution <= COARSEST:
        raise ValueError(f"{column.series}: resolution {column.resolution} is not from {FINEST} to {COARSEST}")
    return f"{column.series.translate(_CONTROLS)}\t{column.unit.translate(_CONTROLS)}\t{float(column.resolution)!r}"


def _scaled(
    values: npt.NDArray[np.float64], present: npt.NDArray[np.bool_], resolutions: npt.NDArray[np.float64]
) -> Integers:
    """Count in multiples of the resolution. A missing place takes its neighbour's value: a difference of 0 is cheap."""
    largest = LARGEST_MULTIPLE * resolutions
    multiples = np.clip(np.where(present, values, 0.0), -largest, largest) / resolutions
    beside = np.where(present, np.arange(values.shape[1]), present.argmax(axis=1)[:, None])
    source = np.maximum.accumulate(beside, axis=1)
    return np.take_along_axis(np.round(multiples).astype(np.int64), source, axis=1)


def _likenesses(scaled: Integers, series: int) -> Integers:
    """Return for each column how far back its reference column is; negative if it moves against it, 0 for none.

    Free space falls as used space rises, and the maximum moves with the mean.
    """
    like = np.zeros(len(scaled), np.int64)
    least = _bits(scaled) * 9 // 10 - 4  # what it must save to be worth its bytes
    for back in sorted({*_NEIGHBOURS, series, 2 * series}):
        for sign in (1, -1):
            bits = _bits(scaled[back:] - sign * scaled[:-back])
            better = bits < least[back:]
            like[back:][better], least[back:][better] = sign * back, bits[better]
    return like


def _bits(scaled: Integers) -> Integers:
    """Return how many bits the differences of each column have, all together."""
    lengths: Integers = np.frexp(np.abs(np.diff(scaled)).astype(np.float64))[1].sum(axis=1, dtype=np.int64)
    return lengths


def _rest(scaled: Integers, like: Integers) -> Integers:
    """Return each column minus its reference column."""
    rest = scaled.copy()
    for place in np.flatnonzero(like):
        back = int(like[place])
        rest[place] -= np.sign(back) * scaled[place - abs(back)]
    return rest


def _widths(differences: Integers) -> npt.NDArray[np.uint8]:
    """Return the bytes that each column's differences need; 0 if they are all 0."""
    widths = np.zeros(len(differences), np.uint8)
    for width, above in ((1, 0), (2, 1), (4, 2), (8, 4)):
        limit = np.iinfo(WIDTHS[above]) if above else np.iinfo(np.int8)
        low, high = (limit.min, limit.max) if above else (0, 0)
        widths[((differences < low) | (differences > high)).any(axis=1)] = width
    return widths


def _instant_out(at: Instant) -> list[Any]:
    try:
        boot_id: UUID | str = UUID(at.boot_id)
    except ValueError:
        boot_id = at.boot_id
    if str(boot_id) != at.boot_id:
        boot_id = at.boot_id
    return [boot_id, float(at.uptime_s), (at.wall - EPOCH) // timedelta(microseconds=1), at.synced]


def _deflate(plain: bytes) -> bytes:
    if len(plain) > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(plain)} bytes is larger than {MAX_RECORD_BYTES}")
    deflater = zlib.compressobj(9, zdict=NEWEST)
    return deflater.compress(plain) + deflater.flush()
