"""Sender: takes notifications that are due, one after the other, sends them, and records the outcome.

A row is claimed by compare-and-set before its mail is sent, so that two senders never send the same one. A crash
between the two leaves a claim that expires; its mail is then sent again with the same Message-ID, by which mail servers
recognise it: at least once, as everything else here.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import cast

from sqlalchemy import CursorResult, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.notifications import NotificationEvent
from cloud.ingest.outage_log import OutageLog
from cloud.notify.mail_text import MailFacts, compose
from cloud.notify.settings import NotifyTable
from cloud.notify.smtp import MailServer, PermanentError, TemporaryError
from cloud.notify.states import LEASE, NotificationState, next_attempt
from cloud.store.database import Database, is_trouble
from cloud.store.service_tables import Notification
from cloud.store.tables import Problem, SupportCase

LOOK_EVERY_S = 2.0


class Sender:
    """Sends what is due."""

    def __init__(
        self, database: Database, settings: NotifyTable, server: MailServer, *, now: Callable[[], datetime]
    ) -> None:
        self._database, self._settings, self._server, self._now = database, settings, server, now
        self._mail_log = OutageLog("mail server")
        self._database_log = OutageLog("database")

    async def run(self) -> None:
        """Send for ever; cancel to stop."""
        while True:
            try:
                await self.send_due()
                self._database_log.up()
            except Exception as error:
                if not is_trouble(error):
                    raise
                self._database_log.down(error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def send_due(self) -> int:
        """Send what is due now; return how many mails were accepted. Ends early when the mail server fails."""
        sent = 0
        for id_ in await self._due():
            if not await self._claim(id_):
                continue
            state, outcome = await self._send(id_)
            await self._record(id_, state, outcome)
            sent += state is NotificationState.SENT
            if state is NotificationState.PENDING:  # the others would fare no better
                break
        return sent

    async def _due(self) -> list[int]:
        now = self._now()
        waiting = (Notification.state == NotificationState.PENDING) & (Notification.due_at <= now)
        lost = (Notification.state == NotificationState.SENDING) & (Notification.claimed_at <= now - LEASE)
        query = select(Notification.id).where(waiting | lost).order_by(Notification.due_at, Notification.id)
        async with self._database.read() as session:
            return list(await session.scalars(query))

    async def _claim(self, id_: int) -> bool:
        now = self._now()
        waiting = Notification.state == NotificationState.PENDING
        lost = (Notification.state == NotificationState.SENDING) & (Notification.claimed_at <= now - LEASE)
        claim = (
            update(Notification)
            .where(Notification.id == id_, waiting | lost)
            .values(state=NotificationState.SENDING, claimed_at=now, attempts=Notification.attempts + 1)
        )
        async with self._database.begin() as session:
            return cast("CursorResult[None]", await session.execute(claim)).rowcount == 1

    async def _send(self, id_: int) -> tuple[NotificationState, str]:
        """Try once; return the state that follows, and the outcome in words."""
        async with self._database.read() as session:
            facts = await _facts(session, id_, self._settings)
        try:
            server = await asyncio.to_thread(self._server.send, compose(facts, self._now()))
        except PermanentError as error:
            return NotificationState.FAILED, f"Refused by the mail server: {error}"
        except TemporaryError as error:
            self._mail_log.down(error)
            return NotificationState.PENDING, f"Not accepted yet: {error}"
        self._mail_log.up()
        return NotificationState.SENT, f"Accepted by {server}."

    async def _record(self, id_: int, state: NotificationState, outcome: str) -> None:
        now = self._now()
        async with self._database.begin() as session:
            row = await session.get_one(Notification, id_)
            again = next_attempt(row.attempts, row.created_at, now) if state is NotificationState.PENDING else None
            if state is NotificationState.PENDING and again is None:
                state, outcome = NotificationState.FAILED, f"{outcome} No further attempts."
            row.state, row.outcome, row.claimed_at = state, outcome, None
            row.due_at = again or row.due_at
            row.sent_at = now if state is NotificationState.SENT else None


async def _facts(session: AsyncSession, id_: int, settings: NotifyTable) -> MailFacts:
    row = await session.get_one(Notification, id_)
    case = await session.get_one(SupportCase, row.case_number)
    about_problem = row.group_key.startswith("problem:") and row.event == NotificationEvent.OPENED
    problem = await session.get(Problem, row.problem_number) if about_problem and row.problem_number else None
    devices = 0
    if problem:
        of_problem = SupportCase.problem_number == problem.number
        devices = await session.scalar(select(func.count(SupportCase.device.distinct())).where(of_problem)) or 0
    return MailFacts(
        sender=settings.sender,
        address=row.address,
        message_id=row.message_id,
        event=NotificationEvent(row.event),
        severity=case.severity,
        title=problem.title if problem else case.title,
        path=f"/problems/{problem.number}" if problem else f"/cases/{case.number}",
        text=problem.opened_reason if problem else row.text,
        reason=row.reason,
        devices=devices,
        repeats=row.repeats,
        console_url=settings.console_url,
    )
