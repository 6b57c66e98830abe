"""Silence actions: people create and end silences; the rules ask which one covers a fault.

What is suppressed stays an episode, pending, with the number of its silence. When the silence ends, be it in time or
before, the clock evaluates the episode again.
"""

from datetime import datetime

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.rows import silence_columns, silence_of
from cloud.cases import silences
from cloud.cases.cases import Refused
from cloud.cases.episodes import ActiveSilence
from cloud.cases.silences import Silence, Subject
from cloud.store import tables

SILENCES = "silences"  # the key of what a session has read
_CURRENT = select(tables.Silence).where(
    tables.Silence.ends_at > bindparam("now"),
    or_(tables.Silence.ended_at.is_(None), tables.Silence.ended_at > bindparam("now")),
)


class SilenceActions:
    """Stores silences."""

    async def create(self, session: AsyncSession, silence: Silence, now: datetime) -> int:
        """Store a silence and return its number. Raises Refused."""
        silences.read_zone(silence.zone)
        row = tables.Silence(**silence_columns(silences.validated(silence, now)), created_at=now)
        session.add(row)
        await session.flush()
        session.info.pop(SILENCES, None)
        return row.number

    async def end(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """End a silence before its time. Raises LookupError or Refused."""
        row = await session.get(tables.Silence, number)
        if row is None:
            raise LookupError(f"There is no silence {number}.")
        if row.ended_at or row.ends_at <= now:
            raise Refused(f"Silence {number} is over already.")
        row.ended_at, row.ended_by = now, actor
        session.info.pop(SILENCES, None)
        suppressed = (tables.Episode.silence_number == number) & (tables.Episode.suppressed_until > now)
        await session.execute(update(tables.Episode).where(suppressed).values(suppressed_until=now))


async def silences_now(session: AsyncSession, now: datetime) -> tuple[Silence, ...]:
    """Return the silences that could be active from now on; read once in a transaction."""
    known: tuple[Silence, ...] | None = session.info.get(SILENCES)
    if known is None:
        with session.no_autoflush:
            found = await session.scalars(_CURRENT, {"now": now})
        known = session.info[SILENCES] = tuple(silence_of(row) for row in found)
    return known


def covering(device: tables.Device, fault: str, candidates: tuple[Silence, ...], now: datetime) -> ActiveSilence | None:
    """Return the silence that covers a fault of a device now."""
    subject = Subject(device=device.device, fault=fault, site=device.site, model=device.hardware)
    return silences.find_silence(subject, candidates, now)
