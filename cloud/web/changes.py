"""Changes that people make to cases: one transaction, then the change_signal. The pages and the API share them."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import undo
from cloud.cases.outcomes import Outcome
from cloud.web.context import Console

Change = Callable[[AsyncSession, datetime], Awaitable[None]]


async def commit(console: Console, change: Change) -> None:
    """Make a change. Raises LookupError (no such case) or Refused (a ValueError with a sentence for the person)."""
    async with console.database.begin() as session:
        await change(session, console.now())
    console.change_signal.notify()


async def commit_undoable(console: Console, action: str, numbers: Sequence[int], change: Change, actor: str) -> str:
    """Make a change of these cases; return the token that undoes it, if that can be done. Raises as `commit`."""
    if action not in undo.UNDOABLE:
        await commit(console, change)
        return ""
    steps: list[undo.UndoStep] = []

    async def noted(session: AsyncSession, now: datetime) -> None:
        before = await undo.cases_before(session, numbers)
        await change(session, now)
        steps.extend(await undo.steps_after(session, action, before))

    await commit(console, noted)
    return console.undo.keep(actor, steps, console.now())


async def undo_change(console: Console, token: str, actor: str) -> list[int]:
    """Make the inverse of a change; return the cases. Raises Refused, also if somebody has changed one since."""
    steps = console.undo.steps(token, actor, console.now())
    await commit(console, lambda session, now: undo.undo(session, console.case_service.staff, steps, actor, now))
    console.undo.used(token)
    return [step.before.number for step in steps]


def take(console: Console, number: int, actor: str) -> Change:
    """The case is now `actor`'s."""
    return lambda session, now: console.case_service.staff.take(session, number, actor, now)


def release(console: Console, number: int, actor: str) -> Change:
    """The case is nobody's again."""
    return lambda session, now: console.case_service.staff.release(session, number, actor, now)


def close(console: Console, number: int, actor: str, outcome: Outcome) -> Change:
    """The case is done, and this is what it really was."""
    return lambda session, now: console.case_service.staff.close(session, number, actor, outcome, now)


def reopen(console: Console, number: int, actor: str, reason: str) -> Change:
    """The case is not done after all."""
    return lambda session, now: console.case_service.staff.reopen(session, number, actor, reason, now)


def note(console: Console, number: int, actor: str, text: str) -> Change:
    """Somebody has something to say about the case."""
    return lambda session, now: console.case_service.staff.note(session, number, actor, text, now)


def contact(console: Console, number: int, actor: str, note: str) -> Change:
    """The customer knows."""
    return lambda session, now: console.case_service.staff.contact(session, number, actor, note, now)


def hand_over(console: Console, number: int, actor: str, to: str, note: str) -> Change:
    """Another person goes on with the case."""
    return lambda session, now: console.case_service.staff.hand_over(session, number, actor, to, note, now)


def assign(console: Console, number: int, actor: str, to: str) -> Change:
    """A person has the case, whoever had it before."""
    return lambda session, now: console.case_service.staff.assign(session, number, actor, to, now)


def snooze(console: Console, number: int, actor: str, until: datetime, note: str) -> Change:
    """The case waits until a date."""
    return lambda session, now: console.case_service.staff.snooze(session, number, actor, until, note, now)


def wake(console: Console, number: int, actor: str) -> Change:
    """The case waits no longer."""
    return lambda session, now: console.case_service.staff.wake(session, number, actor, now)


def merge(console: Console, number: int, into: int, actor: str) -> Change:
    """Another case of the device goes on for this one."""
    return lambda session, now: console.case_service.staff.merge(session, number, into, actor, now)


def unmerge(console: Console, number: int, actor: str, reason: str) -> Change:
    """The merge was wrong."""
    return lambda session, now: console.case_service.staff.unmerge(session, number, actor, reason, now)


def unlink(console: Console, number: int, actor: str, reason: str) -> Change:
    """The case has another cause than its problem."""
    return lambda session, now: console.case_service.staff.unlink(session, number, actor, reason, now)
