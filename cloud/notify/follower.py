"""Notification follower: writes the rows of notifications into the transaction that changes a case.

A case that joins a problem brings its unsent mail along: the mail then speaks for the problem, or is grouped with the
one that already does.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.followers import CaseChange
from cloud.cases.calendars import ALWAYS, Calendar
from cloud.cases.cases import Case
from cloud.cases.notifications import Audience, Earlier, Fate, NotificationEvent, Request, fate, group_key, requests
from cloud.notify.settings import NotifyTable
from cloud.notify.states import NotificationState
from cloud.store.service_tables import Notification


class NotificationFollower:
    """A follower of cases."""

    def __init__(self, settings: NotifyTable, office: Calendar = ALWAYS) -> None:
        """`office` holds the hours in which reminders are sent."""
        self._settings, self._rules, self._office = settings, settings.rules, office
        self._domain = settings.sender.rpartition("@")[2]

    async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:
        """Decide who is told, and write it down."""
        before, after = change.before, change.after
        if before and after.problem_number and before.problem_number is None:
            await self._group(session, after)
        for request in requests(before, after, change.entries, change.actor, self._rules):
            for address in self._addresses(request):
                await self._request(session, after, request, address, change.now)

    def _addresses(self, request: Request) -> Sequence[str]:
        settings = self._settings
        match request.audience:
            case Audience.PERSON:
                return [settings.people[request.person]] if request.person in settings.people else []
            case Audience.OPERATORS:
                return settings.operators or settings.to
            case _:
                return settings.to

    async def _request(self, session: AsyncSession, case: Case, request: Request, address: str, now: datetime) -> None:
        """Write a new row, or count the request at the one that covers it."""
        is_first = request.event == NotificationEvent.OPENED and case.problem_number is None  # a case opens once
        earlier = None if is_first else await _latest(session, group_key(case), request.event, address)
        known = Earlier(is_pending=_is_pending(earlier), created_at=earlier.created_at) if earlier else None
        decision, reason = fate(request, known, self._rules, now)
        if earlier and decision is Fate.COUNTED:
            earlier.repeats += 1
            return
        due_at = now + timedelta(seconds=request.wait_s)
        row = Notification(
            event=request.event,
            address=address,
            group_key=group_key(case),
            case_number=case.number,
            problem_number=case.problem_number,
            text=request.text,
            reason=reason,
            state=NotificationState.PENDING,
            created_at=now,
            due_at=self._office.next_open(due_at) if request.in_office_hours else due_at,
            message_id=f"<{uuid4()}@{self._domain}>",
        )
        session.add(row)

    async def _group(self, session: AsyncSession, case: Case) -> None:
        """Let the unsent mails that a case was opened with become mails of its problem."""
        own = (Notification.group_key == f"case:{case.number}") & (Notification.event == NotificationEvent.OPENED)
        for row in await session.scalars(select(Notification).where(own)):
            if not _is_pending(row):
                continue
            of_problem = await _latest(session, group_key(case), row.event, row.address)
            if of_problem:
                of_problem.repeats += 1
                row.state = NotificationState.GROUPED
                row.outcome = f"Grouped: the mail about problem {case.problem_number} covers it."
            else:
                row.group_key, row.problem_number = group_key(case), case.problem_number
            await session.flush()


async def _latest(session: AsyncSession, key: str, event: str, address: str) -> Notification | None:
    """Return the newest notification of an event about a case or a problem, to an address."""
    same = (Notification.group_key == key) & (Notification.event == event) & (Notification.address == address)
    return await session.scalar(select(Notification).where(same).order_by(Notification.id.desc()).limit(1))


def _is_pending(row: Notification) -> bool:
    return row.state == NotificationState.PENDING
