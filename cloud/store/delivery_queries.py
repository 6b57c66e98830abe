"""The reads of dead letters: messages that could not be stored, with their cause, their cost and their content."""

import re
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
        of_record = DeadLetter.cause.endswith(f": {cause}", autoescape=True) & DeadLetter.cause.startswith("record ")
        query = query.where((DeadLetter.cause == cause) | of_record)
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
    """The causes of the dead letters that are kept, the most frequent first; the number of a record is no cause."""
    query = select(
        DeadLetter.cause,
        DeadLetter.device,
        func.count(),
        func.sum(func.length(DeadLetter.payload)),
        func.max(DeadLetter.received_at),
    ).group_by(DeadLetter.cause, DeadLetter.device)
    if device:
        query = query.where(DeadLetter.device == device)
    found: dict[str, list[tuple[str, int, int, datetime]]] = {}
    for cause, of, count, size, last_at in await session.execute(query):
        found.setdefault(without_number(cause), []).append((of, count, int(size), last_at))
    lines = [
        CauseLine(
            cause=cause,
            count=sum(count for _, count, _, _ in rows),
            devices=len({of for of, _, _, _ in rows if of}),
            size=sum(size for _, _, size, _ in rows),
            last_at=max(last_at for _, _, _, last_at in rows),
        )
        for cause, rows in found.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.count, line.cause))[:limit])


def without_number(cause: str) -> str:
    """Return a cause without the number of its record."""
    return _RECORD.sub("", cause)


_RECORD = re.compile(r"^record \d+: ")
