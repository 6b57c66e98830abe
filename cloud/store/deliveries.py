"""Deliveries: what has come in from the devices, by number, and how far it is complete.

What flows in: a session, and records with their numbers. What flows out: what was there before, and up to which number
nothing is missing any more.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, delete, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.reading import Key
from cloud.store.tables import Device, LossRow, Parked, RecordRow, Stream, TelemetryChunk
from edge_agent.protocol.topics import Lane

PARKED_BYTES = 64 << 10  # of a message that is kept to be looked at


async def device_row(session: AsyncSession, device: str, now: datetime) -> Device:
    """The row of a device, made at its first word."""
    row = await session.get(Device, device, with_for_update=True)
    if row is None:
        row = Device(device=device, first_seen=now, last_seen=now)
        session.add(row)
        await session.flush()
    return row


async def stream_row(session: AsyncSession, key: Key, now: datetime) -> Stream:
    """The row of a stream, made at its first record."""
    row = await session.get(Stream, key, with_for_update=True)
    if row is None:
        row = Stream(device=key.device, lane=key.lane, stream=key.stream, stored_up_to=0, started_at=now)
        session.add(row)
    return row


async def contents(session: AsyncSession, key: Key, first_seq: int, last_seq: int) -> dict[int, dict[str, Any] | bytes]:
    """What is stored under these numbers."""
    records = select(RecordRow).where(_of(RecordRow, key), RecordRow.seq.between(first_seq, last_seq))
    found: dict[int, dict[str, Any] | bytes] = {row.seq: row.body for row in await session.scalars(records)}
    if key.lane is Lane.TELEMETRY:
        chunks = select(TelemetryChunk).where(_chunks_of(key), TelemetryChunk.seq.between(first_seq, last_seq))
        found |= {row.seq: row.body for row in await session.scalars(chunks)}
    return found


async def records_between(
    session: AsyncSession, key: Key, after: int, up_to: int, kinds: Iterable[str]
) -> list[RecordRow]:
    """The stored records of these kinds with numbers above `after`, up to `up_to`, in order."""
    query = (
        select(RecordRow)
        .where(_of(RecordRow, key), RecordRow.seq > after, RecordRow.seq <= up_to, RecordRow.kind.in_(kinds))
        .order_by(RecordRow.seq)
    )
    return list(await session.scalars(query))


async def declare_lost(session: AsyncSession, row: LossRow) -> None:
    """Count numbers as lost. What has been stored or declared before without a gap is none of them."""
    known = await session.scalar(
        select(Stream.stored_up_to).where(_of(Stream, Key(row.device, Lane(row.lane), row.stream)))
    )
    row.first_seq = max(row.first_seq, (known or 0) + 1)
    if row.first_seq > row.last_seq:
        return
    earlier = await session.get(LossRow, (row.device, row.lane, row.stream, row.first_seq))
    if earlier is None:
        session.add(row)
    else:
        earlier.last_seq = max(earlier.last_seq, row.last_seq)


async def complete_up_to(session: AsyncSession, key: Key, known: int) -> int:
    """Up to which number all is stored or declared lost, when it is known to be so up to `known`."""
    seqs: Select[int] | CompoundSelect[int] = select(RecordRow.seq).where(_of(RecordRow, key), RecordRow.seq > known)
    if key.lane is Lane.TELEMETRY:
        seqs = union_all(seqs, select(TelemetryChunk.seq).where(_chunks_of(key), TelemetryChunk.seq > known))
    lost = select(LossRow.first_seq, LossRow.last_seq).where(_of(LossRow, key), LossRow.last_seq > known)
    spans = [(first, last) for first, last in await session.execute(lost)]
    return contiguous(known, await session.scalars(seqs), spans)


def contiguous(known: int, seqs: Iterable[int], spans: Iterable[tuple[int, int]]) -> int:
    """Return the number up to which single numbers and spans (both ends included) leave no gap above `known`."""
    for first, last in sorted([*((seq, seq) for seq in seqs), *spans]):
        if first > known + 1:
            break
        known = max(known, last)
    return known


async def park(session: AsyncSession, row: Parked, keep: int) -> None:
    """Set a message aside for people to look at, and let the oldest go when there are more than `keep`."""
    row.payload, row.topic = row.payload[:PARKED_BYTES], row.topic[:256]
    session.add(row)
    await session.flush()
    too_old = select(Parked.id).order_by(Parked.id.desc()).offset(keep).limit(1).scalar_subquery()
    await session.execute(delete(Parked).where(Parked.id <= too_old))


async def prune_telemetry(session: AsyncSession, now: datetime, retention_days: int) -> None:
    """Delete telemetry that is older than `retention_days`. Evidence stays."""
    before = now - timedelta(days=retention_days)
    await session.execute(delete(TelemetryChunk).where(TelemetryChunk.start_at < before))


def _of(table: type[RecordRow] | type[LossRow] | type[Stream], key: Key) -> ColumnElement[bool]:
    return (table.device == key.device) & (table.lane == key.lane) & (table.stream == key.stream)


def _chunks_of(key: Key) -> ColumnElement[bool]:
    return (TelemetryChunk.device == key.device) & (TelemetryChunk.stream == key.stream)
