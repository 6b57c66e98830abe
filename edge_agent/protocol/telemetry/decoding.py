"""Decode a record into a batch. Every check that a record needs is in `_open`: a record that opens can be unpacked."""

import zlib
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from edge_agent.protocol import cbor
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.telemetry.allowance import Allowance, TooMuchError
from edge_agent.protocol.telemetry.batch import (
    COARSEST,
    DICTIONARIES,
    EPOCH,
    FINEST,
    I2,
    I8,
    MAX_COLUMNS,
    MAX_RECORD_BYTES,
    U1,
    WIDTHS,
    Batch,
    Column,
    Integers,
    check_size,
)

MAX_ITEMS = 512  # of CBOR in one record, which has some thirty
MAX_PERIOD_S = 86_400.0
_ALL_WIDTHS = bytes([0, *WIDTHS])
_BOOT_IDS = (UUID, str)
_PLACES = np.arange(MAX_COLUMNS)
_VALID: set[int] = set()  # hashes of schemas that were read without an error
_VALID_MAX = 1 << 16


def start_of(record: bytes, allowance: Allowance | None = None) -> Instant:
    """Return when a record begins. Raises ValueError with the reason if `unpack` could not read it.

    Raises TooMuchError when the `allowance` of its message is used up.
    """
    return _open(record, allowance or Allowance()).start


def unpack(record: bytes) -> Batch:
    """Decode one record. Raises ValueError with the reason when it is not one of ours."""
    opened = _open(record, Allowance())
    rest = np.zeros((len(opened.widths), opened.rows), np.int64)
    rest[:, 0] = opened.first
    present_widths = [width for width in WIDTHS if width in opened.widths]
    for width, differences in zip(present_widths, opened.differences, strict=True):
        rest[opened.widths == width, 1:] = differences.reshape(-1, opened.rows - 1)
    scaled = rest.cumsum(axis=1)
    for place in np.flatnonzero(opened.like):
        back = int(opened.like[place])
        scaled[place] += np.sign(back) * scaled[place - abs(back)]
    schema = [_schema_line(line) for line in _lines(opened.schema)]
    values = scaled * np.array([resolution for _, _, resolution in schema] * len(opened.aggregates))[:, None]
    values.ravel()[opened.missing] = np.nan
    kinds = ((aggregate, one) for aggregate in opened.aggregates for one in schema)
    columns = tuple(
        Column(series=series, aggregate=aggregate, unit=unit, resolution=resolution, values=row)
        for (aggregate, (series, unit, resolution)), row in zip(kinds, values, strict=True)
    )
    return Batch(start=opened.start, period_s=opened.period_s, columns=columns)


class _Opened(NamedTuple):
    start: Instant
    period_s: float
    rows: int
    aggregates: list[str]
    schema: str
    like: Integers
    widths: npt.NDArray[np.uint8]
    first: Integers
    differences: list[npt.NDArray[np.signedinteger[Any]]]
    missing: Integers


def _open(record: bytes, allowance: Allowance) -> _Opened:
    try:
        plain = _inflate(record, allowance)
        raw = fields(
            cbor.loads(plain, MAX_ITEMS),
            *("at", "period_s", "rows", "aggregates", "schema", "like", "width", "first", "differences"),
        )
        series, aggregates, rows = _series(raw["schema"], allowance), _texts(raw["aggregates"]), raw["rows"]
        columns = series * len(aggregates)
        check_size(columns, rows)
        widths = _array(raw["width"], "width", U1, columns)
        return _Opened(
            start=_instant_in(raw["at"]),
            period_s=_number(raw["period_s"], "period_s", 1e-3, MAX_PERIOD_S),
            rows=rows,
            aggregates=aggregates,
            schema=raw["schema"],
            like=_like(raw["like"], columns),
            widths=widths,
            first=_array(raw["first"], "first", I8, columns),
            differences=_differences(raw["differences"], widths, rows),
            missing=_missing(raw.get("missing"), rows * columns),
        )
    except TooMuchError:
        raise
    except ValueError as error:
        raise ValueError(f"telemetry record: {error}") from None


def _inflate(record: bytes, allowance: Allowance) -> bytes:
    """Inflate a zlib stream (RFC 1950) whose header names its dictionary."""
    if len(record) < 6 or not record[1] & 0x20:
        raise ValueError("not deflated with a dictionary")
    name = int.from_bytes(record[2:6], "big")
    if name not in DICTIONARIES:
        raise ValueError(f"dictionary {name:08x} is not known here")
    inflater = zlib.decompressobj(zdict=DICTIONARIES[name])
    try:
        plain = inflater.decompress(record, MAX_RECORD_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    allowance.spend(inflated=len(plain))
    if not inflater.eof or inflater.unused_data:
        raise ValueError(f"cut off, followed by something, or larger than {MAX_RECORD_BYTES} bytes when inflated")
    return plain


def _texts(raw: Any) -> list[str]:
    if not isinstance(raw, list) or not all(isinstance(one, str) for one in raw) or len(set(raw)) < len(raw):
        raise ValueError("aggregates: must be a list of different texts")
    return raw


def _series(raw: Any, allowance: Allowance) -> int:
    """Return how many series a schema has. Devices send the same each time: a valid schema is not read again."""
    if not isinstance(raw, str):
        raise ValueError("schema: must be a text")
    if (count := raw.count("\n")) > MAX_COLUMNS:
        raise ValueError(f"schema: {count} lines are more than {MAX_COLUMNS}")
    allowance.spend(columns=count)
    digest = hash(raw)  # keyed with a secret of this process: a device cannot make another text with the same one
    if digest not in _VALID:
        for line in _lines(raw):
            _schema_line(line)
        if len(_VALID) >= _VALID_MAX:
            _VALID.clear()
        _VALID.add(digest)
    return count


def _lines(schema: str) -> list[str]:
    return schema.split("\n")[:-1]


def _schema_line(line: str) -> tuple[str, str, float]:
    """Read series, unit and resolution; what a newer version writes behind them is skipped."""
    try:
        series, unit, resolution = line.split("\t")[:3]
        return series, unit, _number(float(resolution), "resolution", FINEST, COARSEST)
    except ValueError:
        raise ValueError(f"schema: {line!r:.80} is not a series, its unit and its resolution") from None


def _number(raw: Any, field: str, low: float, high: float) -> float:
    if type(raw) not in (int, float) or not low <= raw <= high:
        raise ValueError(f"{field}: {raw!r:.80} is not from {low:g} to {high:g}")
    return float(raw)


def _instant_in(raw: Any) -> Instant:
    if not isinstance(raw, list) or len(raw) != 4:
        raise ValueError("at: must be boot id, uptime, wall time and whether it is synchronised")
    boot_id, uptime_s, wall_us, synced = raw
    if not isinstance(boot_id, _BOOT_IDS) or type(wall_us) is not int or type(synced) is not bool:
        raise ValueError("at: must be boot id, uptime, wall time and whether it is synchronised")
    try:
        wall = EPOCH + timedelta(microseconds=wall_us)
    except OverflowError:
        raise ValueError(f"at: {wall_us} microseconds since 1970 are no date") from None
    boot = cbor.uuid_text(boot_id) if isinstance(boot_id, UUID) else boot_id
    return Instant(boot_id=boot, uptime_s=_number(uptime_s, "at: uptime_s", 0.0, 1e12), wall=wall, synced=synced)


def _array(raw: Any, field: str, dtype: np.dtype[Any], length: int) -> Any:
    if not isinstance(raw, np.ndarray) or raw.dtype != dtype or len(raw) != length:
        raise ValueError(f"{field}: must be a typed array of {length} {dtype}")
    return raw


def _like(raw: Any, columns: int) -> Integers:
    like: Integers = _array(raw, "like", I2, columns).astype(np.int64)
    if like.any() and (np.abs(like) > _PLACES[:columns]).any():
        raise ValueError("like: points before the first column")
    return like


def _differences(raw: Any, widths: npt.NDArray[np.uint8], rows: int) -> list[Any]:
    each = widths.tobytes()
    if each.translate(None, _ALL_WIDTHS):
        raise ValueError("width: must be 0, 1, 2, 4 or 8")
    needed = [width for width in WIDTHS if width in each]
    if not isinstance(raw, list) or len(raw) != len(needed):
        raise ValueError(f"differences: must be {len(needed)} typed arrays")
    return [
        _array(one, "differences", WIDTHS[width], each.count(width) * (rows - 1))
        for one, width in zip(raw, needed, strict=True)
    ]


def _missing(raw: Any, cells: int) -> Integers:
    if raw is None:
        return np.empty(0, np.int64)
    if not isinstance(raw, np.ndarray) or len(raw) > cells:
        raise ValueError("missing: must be a typed array of places")
    places = raw.astype(np.int64).cumsum()
    if len(places) and (places.min() < 0 or places.max() >= cells):
        raise ValueError("missing: a place lies outside the batch")
    return places


def fields(raw: Any, *names: str) -> dict[str, Any]:
    """Return a decoded map that has all these names. Raises ValueError with the first that is missing."""
    if not isinstance(raw, dict):
        raise ValueError("not a map")
    if missing := [name for name in names if name not in raw]:
        raise ValueError(f"{missing[0]}: missing")
    return raw
