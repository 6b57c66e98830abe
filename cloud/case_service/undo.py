"""Undo: the inverse of what a person has just done to cases, refused if somebody has changed one of them since.

What flows in: a change and the cases that it is about. What flows out: a token for the one who made it, and with the
token, within ten seconds, the inverse change. The tokens are in memory: after a restart nothing can be undone.
"""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.case_writer import SYSTEM
from cloud.case_service.rows import case_of
from cloud.case_service.staff_actions import StaffActions
from cloud.cases.cases import Case, EntryKind, Refused
from cloud.store.tables import CaseEntry, SupportCase

UNDO_LASTS = timedelta(seconds=10)
_ON_THE_WAY = timedelta(seconds=2)  # between the click and its arrival
UNDOABLE = frozenset(
    {"take", "assign", "release", "close", "reopen", "hand_over", "snooze", "wake", "merge", "unmerge"}
)
_REASON = "undone within ten seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoStep:
    """One case as it was before a change, and the last line of its timeline after it."""

    action: str
    before: Case
    last_entry: int


@dataclass(frozen=True, slots=True)
class _Kept:
    actor: str
    steps: tuple[UndoStep, ...]
    at: datetime


class UndoLog:
    """What can still be undone, by token; each token works once."""

    MOST = 1000

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def keep(self, actor: str, steps: Sequence[UndoStep], now: datetime) -> str:
        """Return the token that undoes these steps; empty if there are none."""
        if not steps:
            return ""
        token = secrets.token_urlsafe(16)
        self._kept[token] = _Kept(actor, tuple(steps), now)
        while len(self._kept) > self.MOST:
            self._kept.popitem(last=False)
        return token

    def steps(self, token: str, actor: str, now: datetime) -> tuple[UndoStep, ...]:
        """Return what a token undoes. Raises Refused if it is somebody else's, or too old."""
        kept = self._kept.get(token)
        if kept is None or kept.actor != actor or now > kept.at + UNDO_LASTS + _ON_THE_WAY:
            seconds = int(UNDO_LASTS.total_seconds())
            raise Refused(f"A change can be undone for {seconds} seconds, once. Change the case back on its page.")
        return kept.steps

    def used(self, token: str) -> None:
        """Forget a token whose change is undone."""
        self._kept.pop(token, None)


async def cases_before(session: AsyncSession, numbers: Sequence[int]) -> list[Case]:
    """Return cases as they are before a change; those that do not exist are left out."""
    rows = [await session.get(SupportCase, number) for number in numbers]
    return [case_of(row) for row in rows if row]


async def steps_after(session: AsyncSession, action: str, before: Sequence[Case]) -> list[UndoStep]:
    """Return the steps that undo a change which has just been made; a case that it left as it was has none."""
    await session.flush()
    steps = []
    for case in before:
        after = case_of(await session.get_one(SupportCase, case.number))
        if after != case:
            last = await session.scalar(select(func.max(CaseEntry.id)).where(CaseEntry.case_number == case.number))
            steps.append(UndoStep(action=action, before=case, last_entry=last or 0))
    return steps


async def undo(
    session: AsyncSession, staff: StaffActions, steps: Sequence[UndoStep], actor: str, now: datetime
) -> None:
    """Make the inverse change of all cases, or of none. Raises Refused if a person has changed one of them since."""
    for step in steps:
        await _refuse_if_changed(session, step)
    for step in reversed(steps):
        await _invert(session, staff, step, actor, now)


async def _refuse_if_changed(session: AsyncSession, step: UndoStep) -> None:
    number = step.before.number
    by_people = (CaseEntry.actor != SYSTEM) & (CaseEntry.kind != EntryKind.NOTE)
    since = (CaseEntry.case_number == number) & (CaseEntry.id > step.last_entry)
    entry = await session.scalar(select(CaseEntry).where(since, by_people).order_by(CaseEntry.id).limit(1))
    if entry:
        text = f"Case {number} was changed since, and nothing was undone: {entry.text[:200]}"
        raise Refused(text if text.endswith((".", "!", "?")) else f"{text}.")


async def _take_apart(session: AsyncSession, staff: StaffActions, step: UndoStep, actor: str, now: datetime) -> None:
    """Undo a merge: unmerge a case that continues elsewhere; the one where it does is put off again, if it was."""
    row = await session.get_one(SupportCase, step.before.number)
    if row.merged_into is not None:
        await staff.unmerge(session, row.number, actor, _REASON, now)
    elif row.state != step.before.state:
        await staff.put_back(session, step.before, actor, now)


async def _invert(session: AsyncSession, staff: StaffActions, step: UndoStep, actor: str, now: datetime) -> None:
    number = step.before.number
    match step.action:
        case "reopen":
            await staff.close_again(session, number, actor, now)
        case "merge":
            await _take_apart(session, staff, step, actor, now)
        case "unmerge" if step.before.merged_into is not None:
            await staff.merge(session, number, step.before.merged_into, actor, now)
        case _:
            await staff.put_back(session, step.before, actor, now)
