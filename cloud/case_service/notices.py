"""Notices: who handed a case over is told what others do with it, until it is closed."""

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.followers import CaseChange
from cloud.store.tables import Notice


class HandOverNotices:
    """A follower of cases: writes a notice for the first owner of a case that was handed over."""

    async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:
        """Tell the first owner what somebody else did, the closing included."""
        account = change.before.first_owner if change.before else None
        if account is None or change.actor == account:
            return
        for entry in change.entries:
            session.add(
                Notice(
                    account=account,
                    case_number=change.after.number,
                    at=change.now,
                    actor=change.actor,
                    text=entry.text,
                )
            )


async def mark_read(session: AsyncSession, account: str, now: datetime) -> None:
    """Take note that a person has read all notices so far."""
    unread = (Notice.account == account) & Notice.read_at.is_(None)
    await session.execute(update(Notice).where(unread).values(read_at=now))
