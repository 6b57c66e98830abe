"""Staff actions: what people do to cases, one method for each.

What flows in: a case's number, who wants what, and the time. What flows out: the changed case with its timeline, or
LookupError (no such case), or Refused with a sentence for the person.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from cloud.case_service.case_writer import CaseWriter
from cloud.case_service.rows import case_of
from cloud.cases import cases
from cloud.cases.cases import Case, Label, Refused, TimelineEntry
from cloud.store import tables

_Rule = Callable[[Case], tuple[Case, Sequence[TimelineEntry]]]


class StaffActions:
    """Applies the rules of what a person may do."""

    def __init__(self, writer: CaseWriter) -> None:
        self._writer = writer

    async def take(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """Give the case to `actor`."""
        await self._apply(session, number, actor, now, lambda case: cases.taken(case, actor, now))

    async def release(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """Put the case back for somebody else."""
        await self._apply(session, number, actor, now, lambda case: cases.released(case, actor, now))

    async def close(
        self, session: AsyncSession, number: int, actor: str, label: Label, note: str, now: datetime
    ) -> None:
        """Close the case with what it really was."""
        await self._apply(session, number, actor, now, lambda case: cases.closed(case, actor, label, note, now))

    async def reopen(self, session: AsyncSession, number: int, actor: str, reason: str, now: datetime) -> None:
        """Let the case go on."""
        await self._apply(session, number, actor, now, lambda case: cases.reopened(case, actor, reason, now))

    async def note(self, session: AsyncSession, number: int, actor: str, text: str, now: datetime) -> None:
        """Write something down in the case's timeline."""
        await self._apply(session, number, actor, now, lambda case: cases.noted(case, actor, text, now))

    async def _apply(self, session: AsyncSession, number: int, actor: str, now: datetime, rule: _Rule) -> None:
        """Write what a person did, unless somebody was faster: the row's version is compared and set."""
        row = await case_row(session, number)
        await self._writer.save(session, row, rule(case_of(row)), actor, now)
        await flush_if_unchanged(session, number)


async def case_row(session: AsyncSession, number: int) -> tables.SupportCase:
    """Return the row of a case. Raises LookupError."""
    row = await session.get(tables.SupportCase, number)
    if row is None:
        raise LookupError(f"There is no case {number}.")
    return row


async def flush_if_unchanged(session: AsyncSession, number: int) -> None:
    """Write the session out. Raises Refused if another transaction has changed the case since it was read."""
    try:
        await session.flush()
    except StaleDataError:
        raise Refused(
            f"Case {number} was changed by somebody else at the same time. Reload it and try again."
        ) from None
