"""The reads of service levels and notifications, each with a name and a purpose."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.service_tables import CaseClock, Notification

MAILS_OF_A_CASE = 20


async def clocks(session: AsyncSession, number: int) -> tuple[CaseClock, ...]:
    """The clocks of a case, those that are due first."""
    query = select(CaseClock).where(CaseClock.case_number == number)
    return tuple(await session.scalars(query.order_by(CaseClock.started_at, CaseClock.goal_s, CaseClock.kind)))


async def next_due(session: AsyncSession, numbers: Sequence[int]) -> dict[int, CaseClock]:
    """For each case of a list, the clock that is due next, or was and still runs."""
    query = select(CaseClock).where(CaseClock.case_number.in_(numbers), CaseClock.due_at.is_not(None))
    found: dict[int, CaseClock] = {}
    for clock in await session.scalars(query.order_by(CaseClock.due_at)):
        found.setdefault(clock.case_number, clock)
    return found


async def mails_of(session: AsyncSession, number: int, problem: int | None) -> tuple[Notification, ...]:
    """The mails about a case, and the one that speaks for its problem; newest first."""
    of_case = Notification.case_number == number
    wanted = of_case | (Notification.group_key == f"problem:{problem}") if problem else of_case
    query = select(Notification).where(wanted).order_by(Notification.id.desc()).limit(MAILS_OF_A_CASE)
    return tuple(await session.scalars(query))


async def mails(session: AsyncSession, limit: int) -> tuple[Notification, ...]:
    """The newest mails about anything."""
    return tuple(await session.scalars(select(Notification).order_by(Notification.id.desc()).limit(limit)))
