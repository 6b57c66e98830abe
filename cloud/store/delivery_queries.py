"""The reads of dead letters: messages that could not be stored, with their cause, their cost and their content."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.tables import DeadLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterLine:
    """A message that could not be taken, without its content."""

    id: int
    received_at: datetime
    topic: str
    device: str
    cause: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseLine:
    """How often a cause occurred, on how many devices, what is kept of it, and when it did last."""

    cause: str
    count: int
    devices: int
    size: int
    last_at: datetime


_COLUMNS = (
    DeadLetter.id, DeadLetter.received_at, DeadLetter.topic, DeadLetter.device, DeadLetter.cause,
    func.length(DeadLetter.payload),
)  # fmt: skip


async def dead_letters(
    session: AsyncSession, limit: int, *, device: str = "", cause: str = "", before: int | None = None
) -> tuple[DeadLetterLine, ...]:
    """The newest messages that could not be taken, and why; their content stays in the database."""
    query = select(*_COLUMNS).order_by(DeadLetter.id.desc()).limit(limit)
    if device:
        query = query.where(DeadLetter.device == device)
    if cause:
        query = query.where(DeadLetter.cause == cause)
    if before is not None:
        query = query.where(DeadLetter.id < before)
    return tuple(
        DeadLetterLine(id=row[0], received_at=row[1], topic=row[2], device=row[3], cause=row[4], size=row[5])
        for row in await session.execute(query)
    )


async def dead_letter(session: AsyncSession, id_: int) -> DeadLetter | None:
    """One message that could not be taken, with its content."""
    return await session.get(DeadLetter, id_)


async def causes(session: AsyncSession, limit: int, device: str = "") -> tuple[CauseLine, ...]:
    """The causes of the dead letters that are kept, the most frequent first."""
    number, newest = func.count(), func.max(DeadLetter.received_at)
    query = (
        select(
            DeadLetter.cause,
            number,
            func.count(DeadLetter.device.distinct()),
            func.sum(func.length(DeadLetter.payload)),
            newest,
        )
        .group_by(DeadLetter.cause)
        .order_by(number.desc(), newest.desc())
        .limit(limit)
    )
    if device:
        query = query.where(DeadLetter.device == device)
    return tuple(
        CauseLine(cause=row[0], count=row[1], devices=row[2], size=int(row[3]), last_at=row[4])
        for row in await session.execute(query)
    )
