"""Streams: the numbered records of devices, and up to which number each stream is complete.

What flows in: a session, and records with their numbers. What flows out: what is stored, and how far it is complete.
Each function sends a fixed number of statements, one for each ROWS_AT_ONCE rows or ASKED_AT_ONCE numbers.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Table, and_, bindparam, case, delete, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from cloud.store.multi_row import insert_rows, raise_values
from cloud.store.outcome_tables import CONNECTION, DeviceEvent
from cloud.store.tables import Base, DeadLetter, Device, LossRow, RecordRow, Stream, TelemetryChunk
from edge_agent.protocol.topics import Lane

DEAD_LETTER_BYTES = 64 << 10  # of a dead letter that are kept
CAUSE_LENGTH = 500
ASKED_AT_ONCE = 5000  # numbers in one query; PostgreSQL takes 32,767 parameters
NOT_SEEN = "expected"  # presence of a device that is in the inventory and has not reported yet
AHEAD_MAX = 1024  # records of a stream that may wait behind a gap; a device has 128 in flight
SPANS_MAX = 4096  # declared losses of a stream that may wait behind gaps

Row = dict[str, Any]
_T = TypeVar("_T")
_Numbered = type[RecordRow] | type[TelemetryChunk] | type[LossRow]


class StreamKey(NamedTuple):
    """One numbered stream of records."""

    device: str
    lane: Lane
    stream: str


@dataclass(slots=True)
class StreamProgress:
    """Up to which number a stream is complete, and what is stored behind its first gap."""

    up_to: int
    seqs: set[int] = field(default_factory=set)
    spans: list[tuple[int, int]] = field(default_factory=list)  # lost, both ends included; in order and apart

    def copy(self) -> "StreamProgress":
        """Return a copy that can be changed."""
        return StreamProgress(self.up_to, set(self.seqs), list(self.spans))

    def holds(self, seq: int) -> bool:
        """Whether this number is stored or complete."""
        return seq <= self.up_to or seq in self.seqs

    def is_too_far_ahead(self, seq: int) -> bool:
        """Whether too many records wait behind a gap for one this far ahead to be stored."""
        return len(self.seqs) >= AHEAD_MAX and seq > self.up_to + AHEAD_MAX

    def add(self, seq: int) -> None:
        """Count a number as stored."""
        self.seqs.add(seq)
        self._advance()

    def can_lose(self, first: int, last: int) -> bool:
        """Whether these numbers may be counted as lost: they close the next gap, or not too many other losses wait."""
        return first <= self.up_to + 1 or len(self.spans) < SPANS_MAX or bool(self.spans[self._touched(first, last)])

    def lose(self, first: int, last: int) -> bool:
        """Count numbers as lost; return whether some of them are new."""
        touched = self._touched(first, last)
        held = self.spans[touched]
        span = (min(first, held[0][0]), max(last, held[-1][1])) if held else (first, last)
        self.spans[touched] = [span]
        self._advance()
        return held != [span]

    def _touched(self, first: int, last: int) -> slice:
        """The spans that this one touches or overlaps."""
        low = bisect_left(self.spans, first - 1, key=lambda span: span[1])
        return slice(low, bisect_right(self.spans, last + 1, lo=low, key=lambda span: span[0]))

    def _advance(self) -> None:
        """Advance to the next gap, over numbers that are stored or lost."""
        while True:
            if self.up_to + 1 in self.seqs:
                self.up_to += 1
                self.seqs.remove(self.up_to)
            elif self.spans and self.spans[0][0] <= self.up_to + 1:
                passed = range(self.up_to + 1, self.spans.pop(0)[1] + 1)
                few = passed if len(passed) < len(self.seqs) else [seq for seq in self.seqs if seq in passed]
                self.seqs.difference_update(few)
                self.up_to += len(passed)
            else:
                return


# A device that staff entered before it reported is first seen when it does.
_FIRST_REPORT = ", ".join(
    f"{name} = CASE WHEN device.presence = '{NOT_SEEN}' THEN excluded.{name} ELSE device.{name} END"
    for name in ("first_seen", "presence")
)


async def mark_devices_seen(
    session: AsyncSession, seen: dict[str, datetime], telemetry: Collection[str] = frozenset()
) -> None:
    """Update when devices were last seen, those in `telemetry` by their telemetry; insert those that are new."""
    if not seen:
        return
    rows = [
        row | {"telemetry_at": row["last_seen"]} if row["device"] in telemetry else row for row in _new_devices(seen)
    ]
    later = "CASE WHEN device.last_seen < excluded.last_seen THEN excluded.last_seen ELSE device.last_seen END"
    newer = "COALESCE(excluded.telemetry_at, device.telemetry_at)"
    update = f"ON CONFLICT (device) DO UPDATE SET last_seen = {later}, telemetry_at = {newer}, {_FIRST_REPORT}"
    await insert_rows(session, _table(Device), rows, update)


async def add_new_devices(session: AsyncSession, seen: dict[str, datetime]) -> None:
    """Insert devices that are new; leave the others unchanged, but for those that staff entered before."""
    update = f"ON CONFLICT (device) DO UPDATE SET {_FIRST_REPORT} WHERE device.presence = '{NOT_SEEN}'"
    await insert_rows(session, _table(Device), _new_devices(seen), update)


def _new_devices(seen: dict[str, datetime]) -> list[Row]:
    unknown = dict.fromkeys(("agent", "model", "firmware", "hardware", "boot_id", "customer", "site"), "")
    return [
        {
            "device": device,
            "first_seen": at,
            "last_seen": at,
            "presence": "offline",
            "metrics": 0,
            "telemetry_at": None,
            **unknown,
        }
        for device, at in sorted(seen.items())
    ]


async def device_rows(session: AsyncSession, devices: Collection[str]) -> dict[str, Device]:
    """Return the rows of devices, locked for this transaction."""
    query = select(Device).where(Device.device.in_(devices)).with_for_update()
    return {row.device: row for row in await session.scalars(query)}


async def load_progress(
    session: AsyncSession, keys: Sequence[StreamKey], now: datetime
) -> dict[StreamKey, StreamProgress]:
    """Return the progress of each stream; insert streams that are new."""
    found: dict[StreamKey, StreamProgress] = {}
    for some in _pieces(keys, ASKED_AT_ONCE // len(_KEY)):
        found |= await _load_some(session, some, now)
    return found


async def _load_some(
    session: AsyncSession, keys: Sequence[StreamKey], now: datetime
) -> dict[StreamKey, StreamProgress]:
    found = await _stored_progress(session, keys)
    if new := [{**key._asdict(), "stored_up_to": 0, "started_at": now} for key in keys if key not in found]:
        await insert_rows(session, _table(Stream), new, "ON CONFLICT DO NOTHING")
        found = await _stored_progress(session, keys)
    if any(key.lane is Lane.TELEMETRY for key in keys):
        for key, seq in await _above(session, TelemetryChunk, keys, TelemetryChunk.seq):
            found[key].seqs.add(seq)
    for key, seq in await _above(session, RecordRow, keys, RecordRow.seq):
        found[key].seqs.add(seq)
    for key, first, last in await _above(session, LossRow, keys, LossRow.first_seq, LossRow.last_seq):
        found[key].lose(first, last)
    return found


async def _stored_progress(session: AsyncSession, keys: Collection[StreamKey]) -> dict[StreamKey, StreamProgress]:
    query = select(*_KEY, Stream.stored_up_to).where(tuple_(*_KEY).in_(keys))
    return {
        StreamKey(device, Lane(lane), stream): StreamProgress(up_to)
        for device, lane, stream, up_to in await session.execute(query)
    }


async def _above(
    session: AsyncSession, table: _Numbered, keys: Collection[StreamKey], *numbers: InstrumentedAttribute[int]
) -> list[tuple[Any, ...]]:
    """Return key and numbers of all rows that lie behind the first gap of their stream."""
    query = (
        select(*_KEY, *numbers)
        .join(table, _of(table, Stream.device, Stream.lane, Stream.stream))
        .where(tuple_(*_KEY).in_(keys), numbers[-1] > Stream.stored_up_to)
    )
    return [(StreamKey(row[0], Lane(row[1]), row[2]), *row[3:]) for row in await session.execute(query)]


async def stored_contents(session: AsyncSession, key: StreamKey, seqs: Collection[int]) -> dict[int, Any]:
    """Return the bodies that are stored under these numbers of a stream."""
    tables: list[type[RecordRow] | type[TelemetryChunk]] = [RecordRow]
    if key.lane is Lane.TELEMETRY:
        tables.append(TelemetryChunk)
    found: dict[int, Any] = {}
    for table in tables:
        for some in _pieces(sorted(seqs), ASKED_AT_ONCE):
            query = select(table.seq, table.body).where(_of(table, *key), table.seq.in_(some))
            found |= {row.seq: row.body for row in await session.execute(query)}
    return found


async def insert(session: AsyncSession, table: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows without creating ORM objects."""
    await insert_rows(session, _table(table), rows)


async def save_progress(session: AsyncSession, reached: dict[StreamKey, int]) -> None:
    """Save up to which number streams are complete; it never decreases."""
    rows = [{**key._asdict(), "stored_up_to": up_to} for key, up_to in reached.items()]
    await raise_values(session, _table(Stream), rows, StreamKey._fields, "stored_up_to")


async def records_between(
    session: AsyncSession, key: StreamKey, after: int, up_to: int, kinds: Iterable[str]
) -> list[RecordRow]:
    """Return the stored records of these kinds with numbers above `after`, up to `up_to`, in order."""
    query = (
        select(RecordRow)
        .where(_of(RecordRow, *key), RecordRow.seq > after, RecordRow.seq <= up_to, RecordRow.kind.in_(kinds))
        .order_by(RecordRow.seq)
    )
    return list(await session.scalars(query))


async def insert_losses(session: AsyncSession, rows: Sequence[Row]) -> None:
    """Insert losses; of two that start with the same number the longer one is kept."""
    statement = _upsert(session, LossRow)
    longer = case((LossRow.last_seq < statement.excluded.last_seq, statement.excluded.last_seq), else_=LossRow.last_seq)
    keys = ["device", "lane", "stream", "first_seq"]
    await session.execute(statement.on_conflict_do_update(index_elements=keys, set_={"last_seq": longer}), rows)


async def add_dead_letters(session: AsyncSession, rows: Sequence[Row], keep: int) -> None:
    """Insert dead letters, and delete the oldest when there are more than `keep`.

    One topic keeps a tenth of these at most, so that one device does not displace the dead letters of others.
    """
    if not rows:
        return
    short = {"topic": 256, "cause": CAUSE_LENGTH, "payload": DEAD_LETTER_BYTES}
    await insert(session, DeadLetter, [row | {name: row[name][:most] for name, most in short.items()} for row in rows])
    of_topic = select(DeadLetter.id).where(DeadLetter.topic == bindparam("of")).order_by(DeadLetter.id.desc())
    surplus = of_topic.offset(max(1, keep // 10)).limit(1).scalar_subquery()
    table = _table(DeadLetter)
    oldest = delete(table).where(table.c.topic == bindparam("of"), table.c.id <= surplus)
    await session.execute(oldest, [{"of": topic} for topic in sorted({row["topic"][:256] for row in rows})])
    too_old = select(DeadLetter.id).order_by(DeadLetter.id.desc()).offset(keep).limit(1).scalar_subquery()
    await session.execute(delete(DeadLetter).where(DeadLetter.id <= too_old))


async def prune_telemetry(session: AsyncSession, now: datetime, retention_days: int) -> None:
    """Delete telemetry and the connection history that are older than `retention_days`. Evidence stays."""
    before = now - timedelta(days=retention_days)
    await session.execute(delete(TelemetryChunk).where(TelemetryChunk.start_at < before))
    connections = (DeviceEvent.kind == CONNECTION) & (DeviceEvent.at < before)
    await session.execute(delete(DeviceEvent).where(connections))


_KEY = (Stream.device, Stream.lane, Stream.stream)


def _pieces(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _of(table: _Numbered, device: Any, lane: Any, stream: Any) -> ColumnElement[bool]:
    """Return the condition for rows of a stream; the arguments are values, or columns to join with."""
    in_lane = literal(Lane.TELEMETRY.value) == lane if table is TelemetryChunk else table.__table__.c.lane == lane
    return and_(table.device == device, table.stream == stream, in_lane)


def _upsert(session: AsyncSession, table: type[Base]) -> Any:
    """Return an INSERT that supports ON CONFLICT; the two dialects have no common type for it."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    return dialect.insert(_table(table))


def _table(table: type[Base]) -> Table:
    found = table.__table__
    assert isinstance(found, Table)
    return found
