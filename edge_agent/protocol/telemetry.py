"""The telemetry codec: columns of scaled integers, delta-coded, in CBOR typed arrays (RFC 8746), deflated.

What flows in: a batch of equally spaced readings per series. What flows out: bytes of one MQTT payload, and back.
The round trip is exact at each column's declared resolution.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import cbor2
import numpy as np
import numpy.typing as npt

from edge_agent.protocol import PROTOCOL_VERSION
from edge_agent.protocol.instant import Instant

MAX_MESSAGE_BYTES = 8 << 20  # inflated; a message that grows beyond it is hostile
_LARGEST = 2.0**61  # multiples of the resolution; differences of two such still fit into 64 bits
_TYPED = {72: "<i1", 77: "<i2", 78: "<i4", 79: "<i8"}  # RFC 8746 tags of little-endian signed integers


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
    """Equally spaced readings: row i of each column belongs to `start` + i * `period_s`."""

    start: Instant
    period_s: float
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryMessage:
    """A message of the telemetry lane: batches `first_seq`, ... of a stream, still packed; numbers as in Envelope."""

    stream: str
    base_seq: int
    first_seq: int
    records: tuple[bytes, ...]


def pack(batch: Batch) -> bytes:
    """Encode one batch as one record of the telemetry lane."""
    at = batch.start
    return cbor2.dumps(
        {
            "at": [at.boot_id, at.uptime_s, at.wall.isoformat(), at.synced],
            "period_s": batch.period_s,
            "columns": [_pack_column(column) for column in batch.columns],
        }
    )


def unpack(record: bytes) -> Batch:
    """Decode one record. Raises ValueError with the reason when it is not one of ours."""
    try:
        raw = cbor2.loads(record)
        boot_id, uptime_s, wall, synced = raw["at"]
        start = Instant(
            boot_id=str(boot_id),
            uptime_s=float(uptime_s),
            wall=datetime.fromisoformat(wall),
            synced=bool(synced),
        )
        columns = tuple(_unpack_column(column) for column in raw["columns"])
        return Batch(start=start, period_s=float(raw["period_s"]), columns=columns)
    except (cbor2.CBORDecodeError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"telemetry record: {type(error).__name__}: {error}") from None


def encode(stream: str, base_seq: int, first_seq: int, records: list[bytes]) -> bytes:
    """Return the payload of one telemetry message."""
    head = {
        "v": PROTOCOL_VERSION,
        "stream": stream,
        "base_seq": base_seq,
        "first_seq": first_seq,
        "records": records,
    }
    return zlib.compress(cbor2.dumps(head), level=9)


def decode(payload: bytes) -> TelemetryMessage:
    """Read a telemetry message without opening its batches. Raises ValueError with the reason."""
    try:
        inflater = zlib.decompressobj()
        plain = inflater.decompress(payload, MAX_MESSAGE_BYTES)
        if not inflater.eof:
            raise ValueError(f"message is cut off, or larger than {MAX_MESSAGE_BYTES} bytes when inflated")
        raw = cbor2.loads(plain)
        if raw["v"] != PROTOCOL_VERSION:
            raise ValueError(f"v: version {raw['v']!r} is not {PROTOCOL_VERSION}")
        stream, records = raw["stream"], tuple(raw["records"])
        base_seq, first_seq = raw.get("base_seq", 1), raw["first_seq"]
    except (zlib.error, cbor2.CBORDecodeError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"telemetry message: {type(error).__name__}: {error}") from None
    if not isinstance(stream, str) or not 32 <= len(stream) <= 36:
        raise ValueError(f"stream: {stream!r:.80} is not a UUID")
    for field, seq in (("base_seq", base_seq), ("first_seq", first_seq)):
        if not isinstance(seq, int) or not 1 <= seq < 2**63:
            raise ValueError(f"{field}: {seq!r:.80} is not a positive number")
    if not records or not all(isinstance(record, bytes) for record in records):
        raise ValueError("records: must be a list of at least one byte string")
    return TelemetryMessage(stream=stream, base_seq=base_seq, first_seq=first_seq, records=records)


def _pack_column(column: Column) -> dict[str, Any]:
    present = np.isfinite(column.values)
    scaled = np.zeros(len(column.values), np.int64)
    in_range = np.clip(column.values[present] / column.resolution, -_LARGEST, _LARGEST)
    scaled[present] = np.round(in_range).astype(np.int64)
    packed: dict[str, Any] = {
        "s": column.series,
        "a": column.aggregate,
        "u": column.unit,
        "r": column.resolution,
    }
    if not present.all():
        packed["x"] = np.nonzero(~present)[0].tolist()
        _carry_forward(scaled, present)
    packed["o"] = int(scaled[0]) if len(scaled) else 0
    packed["d"] = _typed_array(np.diff(scaled))
    return packed


def _carry_forward(scaled: npt.NDArray[np.int64], present: npt.NDArray[np.bool_]) -> None:
    """Give each missing place its predecessor's value: a difference of zero costs almost nothing deflated."""
    source = np.maximum.accumulate(np.where(present, np.arange(len(scaled)), 0))
    scaled[:] = scaled[source]


def _typed_array(values: npt.NDArray[np.int64]) -> cbor2.CBORTag:
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    for tag, dtype in _TYPED.items():
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return cbor2.CBORTag(tag, values.astype(dtype).tobytes())
    raise AssertionError("int64 holds every int64")


def _unpack_column(raw: Mapping[str, Any]) -> Column:
    tag = raw["d"]
    deltas = np.frombuffer(tag.value, _TYPED[tag.tag]).astype(np.int64)
    values = np.concatenate(([int(raw["o"])], deltas)).cumsum() * float(raw["r"])
    if missing := raw.get("x"):
        values[np.asarray(missing, int)] = np.nan
    return Column(
        series=str(raw["s"]),
        aggregate=str(raw["a"]),
        unit=str(raw["u"]),
        resolution=float(raw["r"]),
        values=values,
    )
