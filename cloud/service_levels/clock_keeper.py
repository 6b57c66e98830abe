"""Clock keeper: a follower of cases that starts, pauses and stops their clocks, and a chore that finds missed goals."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.case_service.followers import CaseChange
from cloud.cases.calendars import Calendar
from cloud.cases.service_levels import Clock, ClockKind, Happened, ServiceLevels, breached, clocks_after
from cloud.store.service_tables import CaseClock

BREACHES_AT_ONCE = 500

_COLUMNS = tuple(column.name for column in CaseClock.__table__.columns if column.name not in ("case_number", "kind"))


class ClockKeeper:
    """Keeps the clocks of all cases."""

    def __init__(self, levels: ServiceLevels, calendar: Callable[[str], Calendar]) -> None:
        """`calendar` returns the calendar of a name."""
        self._levels, self._calendar = levels, calendar

    async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:
        """Let the clocks of a case follow a change of it."""
        number = change.after.number
        rows = {} if change.before is None else {row.kind: row for row in await clocks_of(session, number)}
        goals = self._levels.goals(change.after.severity)
        happened = Happened(
            before=change.before,
            after=change.after,
            kinds=frozenset(entry.kind for entry in change.entries),
            now=change.now,
        )
        known = {ClockKind(kind): clock_of(row) for kind, row in rows.items()}
        after = clocks_after(known, happened, goals, self._calendar(goals.calendar))
        for kind, clock in after.items():
            if kind not in rows:
                session.add(CaseClock(case_number=number, **asdict(clock)))
            elif clock != known[kind]:
                _write(rows[kind], clock)

    async def tick(self, session: AsyncSession, case_service: CaseService, now: datetime) -> bool:
        """Note the goals that have been missed; return whether there was one."""
        missed = (CaseClock.due_at <= now) & CaseClock.breached_at.is_(None)
        query = select(CaseClock).where(missed).order_by(CaseClock.due_at).limit(BREACHES_AT_ONCE).with_for_update()
        rows = (await session.scalars(query)).all()
        for row in rows:
            clock, entry = breached(clock_of(row), now)
            _write(row, clock)
            if entry:
                await case_service.record(session, row.case_number, (entry,), now)
        return bool(rows)


async def clocks_of(session: AsyncSession, number: int) -> list[CaseClock]:
    """Return the clocks of a case in the order of their names in the rules."""
    rows = await session.scalars(select(CaseClock).where(CaseClock.case_number == number))
    return sorted(rows, key=lambda row: list(ClockKind).index(ClockKind(row.kind)))


def clock_of(row: CaseClock) -> Clock:
    """Return a row as the value that the rules work on."""
    return Clock(kind=ClockKind(row.kind), **{name: getattr(row, name) for name in _COLUMNS})


def _write(row: CaseClock, clock: Clock) -> None:
    for name in _COLUMNS:
        setattr(row, name, getattr(clock, name))
