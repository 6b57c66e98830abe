"""The telemetry codec: columns of scaled integers, delta-coded, in CBOR typed arrays (RFC 8746), deflated.

What flows in: a batch of equally spaced readings per series. What flows out: a record, then a message of the telemetry
lane, and back. The round trip is exact at each column's declared resolution. A record holds all that is needed to read
it: names, units and resolutions too. They cost little, since records are deflated with a dictionary that knows them.
docs/wire-protocol.md describes the bytes.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from importlib.resources import files
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from edge_agent.protocol import PROTOCOL_VERSION, cbor
from edge_agent.protocol.instant import Instant

MAX_MESSAGE_BYTES = 4 << 20
MAX_RECORD_BYTES = 1 << 20  # inflated; a record that grows beyond it is hostile
MAX_CELLS = 1 << 16  # readings in one batch: the largest still fit into a record, whatever they are
MAX_COLUMNS = 4096  # series times aggregates
MAX_ITEMS = 512  # of CBOR in one record, which has some thirty
MAX_MESSAGE_COLUMNS = 32 * MAX_COLUMNS  # in all records of one message; an agent puts 32 of them into one
MAX_MESSAGE_INFLATED = 32 * MAX_RECORD_BYTES
MAX_PERIOD_S = 86_400.0
LARGEST_MULTIPLE = 2.0**53  # of the resolution that a float64 tells apart; what is larger becomes this
FINEST, COARSEST = 1e-12, 1e12  # resolutions
_NEIGHBOURS = (1, 2, 3)  # columns back that a column may run along with; more earn nothing
_U1, _I1, _I2, _I4, _I8 = map(np.dtype, ("<u1", "<i1", "<i2", "<i4", "<i8"))
_WIDTHS = {1: _I1, 2: _I2, 4: _I4, 8: _I8}
_ALL_WIDTHS = bytes([0, *_WIDTHS])
_PLACES = np.arange(MAX_COLUMNS)
_SOUND: set[bytes] = set()  # digests of schemas
_SOUND_MAX = 1 << 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROLS = dict.fromkeys(range(32), "_")

_Integers = npt.NDArray[np.int64]


def _dictionary(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


_NEWEST = _dictionary("telemetry-1.dict")
DICTIONARIES = {zlib.adler32(one): one for one in (_NEWEST,)}  # all there ever were, by the checksum that names them


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryMessage:
    """A message of the telemetry lane: batches `first_seq`, ... of a stream, still packed; numbers as in Envelope."""

    stream: str
    base_seq: int
    first_seq: int
    records: tuple[bytes, ...]


def pack(batch: Batch) -> bytes:
    """Encode one batch as one record of the telemetry lane. Raises ValueError when it is not what Batch says."""
    aggregates, series = _layout(batch.columns)
    values = np.array([column.values for column in batch.columns])
    resolutions = np.array([column.resolution for column in batch.columns])
    _check_size(len(batch.columns), values.shape[-1])
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
        "like": like.astype(_I2),
        "width": widths,
        "first": rest[:, 0].astype(_I8),
        "differences": [
            differences[widths == width].astype(dtype).ravel() for width, dtype in _WIDTHS.items() if width in widths
        ],
    }
    if not present.all():
        raw["missing"] = np.diff(np.flatnonzero(~present), prepend=0).astype(_I4)
    return _deflate(cbor.dumps(raw))


class TooMuchError(ValueError):
    """The records of a message unfold to more than one message may hold."""


@dataclass(slots=True)
class Allowance:
    """What the records of one message may still unfold to, good ones and bad ones."""

    columns: int = MAX_MESSAGE_COLUMNS
    inflated: int = MAX_MESSAGE_INFLATED

    def spend(self, *, columns: int = 0, inflated: int = 0) -> None:
        """Take so much off. Raises TooMuchError."""
        self.columns -= columns
        self.inflated -= inflated
        if self.columns < 0 or self.inflated < 0:
            limits = f"{MAX_MESSAGE_COLUMNS} columns or {MAX_MESSAGE_INFLATED} bytes"
            raise TooMuchError(f"the records of one message unfold to more than {limits}")


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
    present_widths = [width for width in _WIDTHS if width in opened.widths]
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


def encode(stream: str, base_seq: int, first_seq: int, records: Iterable[bytes]) -> bytes:
    """Return the payload of one telemetry message; `stream` is a UUID as `str(UUID)` writes it."""
    head = {
        "v": PROTOCOL_VERSION,
        "stream": UUID(stream),
        "base_seq": base_seq,
        "first_seq": first_seq,
        "records": list(records),
    }
    return cbor.dumps(head)


def decode(payload: bytes) -> TelemetryMessage:
    """Read a telemetry message without opening its batches. Raises ValueError with the reason."""
    try:
        if len(payload) > MAX_MESSAGE_BYTES:
            raise ValueError(f"larger than {MAX_MESSAGE_BYTES} bytes")
        raw = _fields(cbor.loads(payload), "v", "stream", "base_seq", "first_seq", "records")
        if raw["v"] != PROTOCOL_VERSION:
            raise ValueError(f"v: version {raw['v']!r:.80} is not {PROTOCOL_VERSION}")
        stream, records = raw["stream"], raw["records"]
        if not isinstance(stream, UUID):
            raise ValueError(f"stream: {stream!r:.80} is not a UUID")
        for field in ("base_seq", "first_seq"):
            if type(raw[field]) is not int or not 1 <= raw[field] < 2**63:
                raise ValueError(f"{field}: {raw[field]!r:.80} is not a positive number")
        if not isinstance(records, list) or not records or not all(type(record) is bytes for record in records):
            raise ValueError("records: must be a list of at least one byte string")
    except ValueError as error:
        raise ValueError(f"telemetry message: {error}") from None
    return TelemetryMessage(
        stream=str(stream), base_seq=raw["base_seq"], first_seq=raw["first_seq"], records=tuple(records)
    )


def _check_size(columns: int, rows: Any) -> None:
    if type(rows) is not int or not 0 < columns <= MAX_COLUMNS or not 0 < rows * columns <= MAX_CELLS:
        limits = f"1 to {MAX_COLUMNS} columns and {MAX_CELLS} readings"
        raise ValueError(f"{rows!r:.80} rows of {columns} columns; a batch holds {limits}")


# Packing.


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
) -> _Integers:
    """Count in multiples of the resolution. A missing place takes its neighbour's value: a difference of 0 is cheap."""
    largest = LARGEST_MULTIPLE * resolutions
    multiples = np.clip(np.where(present, values, 0.0), -largest, largest) / resolutions
    beside = np.where(present, np.arange(values.shape[1]), present.argmax(axis=1)[:, None])
    source = np.maximum.accumulate(beside, axis=1)
    return np.take_along_axis(np.round(multiples).astype(np.int64), source, axis=1)


def _likenesses(scaled: _Integers, series: int) -> _Integers:
    """Return for each column how far back stands one that it runs along with; negative if against it, 0 for none.

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


def _bits(scaled: _Integers) -> _Integers:
    """Return how many bits the differences of each column have, all together."""
    lengths: _Integers = np.frexp(np.abs(np.diff(scaled)).astype(np.float64))[1].sum(axis=1, dtype=np.int64)
    return lengths


def _rest(scaled: _Integers, like: _Integers) -> _Integers:
    """Return each column without what it has in common with the one it is like."""
    rest = scaled.copy()
    for place in np.flatnonzero(like):
        back = int(like[place])
        rest[place] -= np.sign(back) * scaled[place - abs(back)]
    return rest


def _widths(differences: _Integers) -> npt.NDArray[np.uint8]:
    """Return the bytes that each column's differences need; 0 if they are all 0."""
    widths = np.zeros(len(differences), np.uint8)
    for width, above in ((1, 0), (2, 1), (4, 2), (8, 4)):
        limit = np.iinfo(_WIDTHS[above]) if above else np.iinfo(np.int8)
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
    return [boot_id, float(at.uptime_s), (at.wall - _EPOCH) // timedelta(microseconds=1), at.synced]


def _deflate(plain: bytes) -> bytes:
    if len(plain) > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(plain)} bytes is larger than {MAX_RECORD_BYTES}")
    deflater = zlib.compressobj(9, zdict=_NEWEST)
    return deflater.compress(plain) + deflater.flush()


# Opening: every check that a record needs is here, so that what opens can be unpacked.


class _Opened(NamedTuple):
    start: Instant
    period_s: float
    rows: int
    aggregates: list[str]
    schema: str
    like: _Integers
    widths: npt.NDArray[np.uint8]
    first: _Integers
    differences: list[npt.NDArray[np.signedinteger[Any]]]
    missing: _Integers


def _open(record: bytes, allowance: Allowance) -> _Opened:
    try:
        plain = _inflate(record, allowance)
        raw = _fields(
            cbor.loads(plain, MAX_ITEMS),
            *("at", "period_s", "rows", "aggregates", "schema", "like", "width", "first", "differences"),
        )
        series, aggregates, rows = _series(raw["schema"], allowance), _texts(raw["aggregates"]), raw["rows"]
        columns = series * len(aggregates)
        _check_size(columns, rows)
        widths = _array(raw["width"], "width", _U1, columns)
        return _Opened(
            start=_instant_in(raw["at"]),
            period_s=_number(raw["period_s"], "period_s", 1e-3, MAX_PERIOD_S),
            rows=rows,
            aggregates=aggregates,
            schema=raw["schema"],
            like=_like(raw["like"], columns),
            widths=widths,
            first=_array(raw["first"], "first", _I8, columns),
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


def _fields(raw: Any, *names: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError("not a map")
    if missing := [name for name in names if name not in raw]:
        raise ValueError(f"{missing[0]}: missing")
    return raw


def _texts(raw: Any) -> list[str]:
    if not isinstance(raw, list) or not all(isinstance(one, str) for one in raw) or len(set(raw)) < len(raw):
        raise ValueError("aggregates: must be a list of different texts")
    return raw


def _series(raw: Any, allowance: Allowance) -> int:
    """Return how many series a schema has. Devices send the same each time: what was found sound is not read again."""
    if not isinstance(raw, str):
        raise ValueError("schema: must be a text")
    if (count := raw.count("\n")) > MAX_COLUMNS:
        raise ValueError(f"schema: {count} lines are more than {MAX_COLUMNS}")
    allowance.spend(columns=count)
    digest = blake2b(raw.encode(), digest_size=16).digest()
    if digest not in _SOUND:
        for line in _lines(raw):
            _schema_line(line)
        if len(_SOUND) >= _SOUND_MAX:
            _SOUND.clear()
        _SOUND.add(digest)
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
    if not isinstance(boot_id, UUID | str) or type(wall_us) is not int or type(synced) is not bool:
        raise ValueError("at: must be boot id, uptime, wall time and whether it is synchronised")
    try:
        wall = _EPOCH + timedelta(microseconds=wall_us)
    except OverflowError:
        raise ValueError(f"at: {wall_us} microseconds since 1970 are no date") from None
    return Instant(
        boot_id=str(boot_id), uptime_s=_number(uptime_s, "at: uptime_s", 0.0, 1e12), wall=wall, synced=synced
    )


def _array(raw: Any, field: str, dtype: np.dtype[Any], length: int) -> Any:
    if not isinstance(raw, np.ndarray) or raw.dtype != dtype or len(raw) != length:
        raise ValueError(f"{field}: must be a typed array of {length} {dtype}")
    return raw


def _like(raw: Any, columns: int) -> _Integers:
    like: _Integers = _array(raw, "like", _I2, columns).astype(np.int64)
    if like.any() and (np.abs(like) > _PLACES[:columns]).any():
        raise ValueError("like: points before the first column")
    return like


def _differences(raw: Any, widths: npt.NDArray[np.uint8], rows: int) -> list[Any]:
    each = widths.tobytes()
    if each.translate(None, _ALL_WIDTHS):
        raise ValueError("width: must be 0, 1, 2, 4 or 8")
    needed = [width for width in _WIDTHS if width in each]
    if not isinstance(raw, list) or len(raw) != len(needed):
        raise ValueError(f"differences: must be {len(needed)} typed arrays")
    return [
        _array(one, "differences", _WIDTHS[width], each.count(width) * (rows - 1))
        for one, width in zip(raw, needed, strict=True)
    ]


def _missing(raw: Any, cells: int) -> _Integers:
    if raw is None:
        return np.empty(0, np.int64)
    if not isinstance(raw, np.ndarray) or len(raw) > cells:
        raise ValueError("missing: must be a typed array of places")
    places = raw.astype(np.int64).cumsum()
    if len(places) and (places.min() < 0 or places.max() >= cells):
        raise ValueError("missing: a place lies outside the batch")
    return places
