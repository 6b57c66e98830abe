"""Staff actions: what people do to cases, one method for each.

What flows in: a case's number, who wants what, and the time. What flows out: the changed case with its timeline, or
LookupError (no such case), or Refused with a sentence for the person.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from cloud.case_service.case_writer import CaseWriter
from cloud.case_service.problem_links import RECENT_CASES
from cloud.case_service.rows import case_of
from cloud.cases import cases, problems, staff_rules
from cloud.cases.cases import Case, EntryKind, Refused, TimelineEntry
from cloud.cases.outcomes import Outcome, outcome_of
from cloud.store import tables

_Outcome = tuple[tables.SupportCase, tuple[Case, Sequence[TimelineEntry]]]
_Rule = Callable[[Case], tuple[Case, Sequence[TimelineEntry]]]


class StaffActions:
    """Applies the rules of what a person may do."""

    def __init__(self, writer: CaseWriter) -> None:
        self._writer = writer

    async def take(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """Give the case to `actor`, who has now seen its faults."""
        await self._apply(session, number, actor, now, lambda case: cases.taken(case, actor, now))
        episode = tables.Episode
        unseen = (episode.case_number == number) & episode.acknowledged_at.is_(None)
        await session.execute(update(episode).where(unseen).values(acknowledged_by=actor, acknowledged_at=now))

    async def release(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """Put the case back for somebody else."""
        await self._apply(session, number, actor, now, lambda case: cases.released(case, actor, now))

    async def close(self, session: AsyncSession, number: int, actor: str, outcome: Outcome, now: datetime) -> None:
        """Close the case with what it really was."""
        await self._apply(session, number, actor, now, lambda case: cases.closed(case, actor, outcome, now))

    async def close_again(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """Close the case as it was closed last, with all that was reported then."""
        last = await session.scalar(
            select(tables.CaseEntry)
            .where(tables.CaseEntry.case_number == number, tables.CaseEntry.kind == EntryKind.CLOSED)
            .order_by(tables.CaseEntry.id.desc())
            .limit(1)
        )
        if last is None:
            raise Refused(f"Case {number} was never closed.")
        await self.close(session, number, actor, outcome_of(last.detail), now)

    async def reopen(self, session: AsyncSession, number: int, actor: str, reason: str, now: datetime) -> None:
        """Let the case go on."""
        await self._apply(session, number, actor, now, lambda case: cases.reopened(case, actor, reason, now))

    async def note(self, session: AsyncSession, number: int, actor: str, text: str, now: datetime) -> None:
        """Write something down in the case's timeline."""
        await self._apply(session, number, actor, now, lambda case: cases.noted(case, actor, text, now))

    async def hand_over(
        self, session: AsyncSession, number: int, actor: str, to: str, note: str, now: datetime
    ) -> None:
        """Give the case to another person, with a note."""
        account = await session.get(tables.Account, to)
        if account is None or account.disabled_at:
            raise Refused(f"There is no account “{to}”, or it is disabled.")
        if account.role == "viewer":
            raise Refused(f"{to} only reads. Choose somebody who works on cases.")
        await self._apply(session, number, actor, now, lambda case: staff_rules.handed_over(case, actor, to, note, now))

    async def assign(self, session: AsyncSession, number: int, actor: str, to: str, now: datetime) -> None:
        """Give the case to a person, whoever has it."""
        if await session.get(tables.Account, to) is None:
            raise Refused(f"There is no account “{to[:64]}”.")
        await self._apply(session, number, actor, now, lambda case: staff_rules.assigned(case, to, actor, now))

    async def put_back(self, session: AsyncSession, before: Case, actor: str, now: datetime) -> None:
        """Set a case back to what a person changed a moment ago; its faults then decide what they decide."""
        await self._apply(session, before.number, actor, now, lambda case: staff_rules.undone(case, before, actor, now))
        await self._writer.recompute(session, before.number, (), now)

    async def contact(self, session: AsyncSession, number: int, actor: str, note: str, now: datetime) -> None:
        """Say that the customer has been told."""
        await self._apply(session, number, actor, now, lambda case: staff_rules.contacted(case, actor, note, now))

    async def snooze(
        self, session: AsyncSession, number: int, actor: str, until: datetime, note: str, now: datetime
    ) -> None:
        """Put the case off until a date."""
        await self._apply(session, number, actor, now, lambda case: staff_rules.snoozed(case, actor, until, note, now))

    async def wake(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """End the snooze of the case."""
        await self._apply(session, number, actor, now, lambda case: staff_rules.woken(case, actor, now))

    async def unlink(self, session: AsyncSession, number: int, actor: str, reason: str, now: datetime) -> None:
        """Take the case out of its problem."""
        await self._apply(session, number, actor, now, lambda case: problems.unlinked(case, actor, reason, now))
        session.info.pop(RECENT_CASES, None)

    async def merge(self, session: AsyncSession, number: int, into: int, actor: str, now: datetime) -> None:
        """Continue the case in another one of the same device: its faults move there."""
        row, target = await case_row(session, number), await case_row(session, into)
        here, there = staff_rules.merged(case_of(row), case_of(target), actor, now)
        moved = (await session.scalars(select(tables.Episode.id).where(tables.Episode.case_number == number))).all()
        row.merged_episodes = list(moved)
        await _move(session, moved, into)
        await self._save_both(session, (row, here), (target, there), actor, now)

    async def unmerge(self, session: AsyncSession, number: int, actor: str, reason: str, now: datetime) -> None:
        """Take the merge of the case back: the faults that moved come back."""
        row = await case_row(session, number)
        target = await case_row(session, row.merged_into) if row.merged_into is not None else row
        here, there = staff_rules.unmerged(case_of(row), case_of(target), actor, reason, now)
        await _move(session, row.merged_episodes, number)
        row.merged_episodes = []
        await self._save_both(session, (row, here), (target, there), actor, now)

    async def acknowledge(self, session: AsyncSession, episode_id: int, actor: str, now: datetime) -> None:
        """Say of an episode of the watch list that a person has seen it."""
        row = await session.get(tables.Episode, episode_id)
        if row is None:
            raise LookupError(f"There is no episode {episode_id}.")
        if row.acknowledged_at is None:
            row.acknowledged_by, row.acknowledged_at = actor, now

    async def _save_both(
        self, session: AsyncSession, here: _Outcome, there: _Outcome, actor: str, now: datetime
    ) -> None:
        """Write two cases whose faults have moved; each follows the faults that it has now."""
        for row, outcome in (here, there):
            await self._writer.save(session, row, outcome, actor, now)
            await flush_if_unchanged(session, row.number)
        for row, _ in (here, there):
            await self._writer.recompute(session, row.number, (), now)

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


async def _move(session: AsyncSession, episodes: Sequence[int], number: int) -> None:
    """Let episodes belong to another case."""
    await session.execute(update(tables.Episode).where(tables.Episode.id.in_(episodes)).values(case_number=number))


async def flush_if_unchanged(session: AsyncSession, number: int) -> None:
    """Write the session out. Raises Refused if another transaction has changed the case since it was read."""
    try:
        await session.flush()
    except StaleDataError:
        raise Refused(
            f"Case {number} was changed by somebody else at the same time. Reload it and try again."
        ) from None
