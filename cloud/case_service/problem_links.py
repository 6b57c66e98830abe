"""Problem links: a case that opens joins a problem, or makes one with others; a problem closes with its last case."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.case_writer import SYSTEM, CaseWriter
from cloud.case_service.followers import CaseChange
from cloud.case_service.rows import case_of, columns_of, problem_of, write
from cloud.cases import problems
from cloud.cases.cases import DONE, EntryKind
from cloud.cases.problems import Member, Problem, ProblemEntry, ProblemOutcome, ProblemState
from cloud.cases.rules import Rules
from cloud.store import tables

MEMBERS_MAX = 1000  # cases that are looked at for one new problem


OPEN_PROBLEMS = "open problems"  # keys of what a session has read
_OPEN = select(tables.Problem).where(tables.Problem.state == ProblemState.OPEN).order_by(tables.Problem.number)
RECENT_CASES = "recent cases"
_WAS_UNLINKED = exists(
    select(tables.CaseEntry.id).where(
        tables.CaseEntry.case_number == tables.SupportCase.number, tables.CaseEntry.kind == EntryKind.UNLINKED
    )
)
_RECENT = (
    select(tables.SupportCase, tables.Device)
    .join(tables.Device, tables.Device.device == tables.SupportCase.device)
    .where(
        tables.SupportCase.fault == bindparam("fault"),
        tables.SupportCase.opened_at >= bindparam("since"),
        tables.SupportCase.problem_number.is_(None),
        tables.SupportCase.state.not_in(DONE),
        ~_WAS_UNLINKED,
    )
    .order_by(tables.SupportCase.number.desc())
    .limit(MEMBERS_MAX)
)
_Recent = dict[str, list[tuple[tables.SupportCase, tables.Device]]]


class ProblemLinks:
    """Finds and makes the problems of cases."""

    def __init__(self, rules: Rules, writer: CaseWriter) -> None:
        self._rules, self._writer = rules, writer

    async def find(self, session: AsyncSession, member: Member) -> Problem | None:
        """Return the open problem that this case would join."""
        rows = [row for row in await _open_problems(session) if row.fault == member.fault]
        return problems.find_problem(member, [problem_of(row) for row in rows], self._rules)

    async def make(self, session: AsyncSession, member: Member, now: datetime) -> Problem | None:
        """Make a problem of this case and those before it, if there are enough of them, and link those."""
        if not (member.firmware or member.site or member.model):
            return None
        rows = [each for each in await self._unlinked(session, member.fault, now) if each[0].number != member.number]
        group = problems.find_group(
            member, [member_of(row.number, row.fault, row.opened_at, of) for row, of in rows], self._rules
        )
        if group is None:
            return None
        opened, entries = problems.opened(member, group, self._rules, now)
        row = tables.Problem(**columns_of(opened))
        session.add(row)
        await session.flush()
        session.info.pop(OPEN_PROBLEMS, None)
        problem = problem_of(row)
        await add_entries(session, problem, entries, SYSTEM, now)
        numbers = {other.number for other in group[1]}
        for case_row, _ in rows:
            if case_row.number in numbers:
                await self.link(session, case_row, problem, now)
        return problem

    async def _unlinked(
        self, session: AsyncSession, fault: str, now: datetime
    ) -> list[tuple[tables.SupportCase, tables.Device]]:
        """The cases of a fault that opened lately and belong to no problem; read once in a transaction."""
        recent: _Recent = session.info.setdefault(RECENT_CASES, {})
        if fault not in recent:
            since = now - timedelta(seconds=self._rules.problem_window_s)
            with session.no_autoflush:
                found = (await session.execute(_RECENT, {"fault": fault, "since": since})).all()
            recent[fault] = [(row[0], row[1]) for row in reversed(found)]
        return [each for each in recent[fault] if each[0].problem_number is None and each[0].state not in DONE]

    def opened(self, session: AsyncSession, row: tables.SupportCase, device: tables.Device) -> None:
        """Take note of a case that has just been opened and belongs to no problem."""
        recent: _Recent = session.info.setdefault(RECENT_CASES, {})
        if row.fault in recent:
            recent[row.fault].append((row, device))

    async def link(self, session: AsyncSession, row: tables.SupportCase, problem: Problem, now: datetime) -> None:
        """Link a case that is there already, unless a person has said that it has another cause."""
        unlinked = select(tables.SupportCase.number).where(tables.SupportCase.number == row.number, _WAS_UNLINKED)
        if await session.scalar(unlinked) is not None:
            return
        case, entry = problems.linked(case_of(row), problem, now)
        await self._writer.save(session, row, (case, (entry,)), SYSTEM, now)
        await self.joined(session, problem, now)

    async def joined(self, session: AsyncSession, problem: Problem, now: datetime) -> None:
        """Let a problem know that it has another case."""
        row = await problem_row(session, problem.number)
        row.last_case_at = now


class ProblemCloser:
    """A follower of cases: closes a problem with its last case."""

    async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:
        """Close the problem of a case that is done now, or has left it, if no other case of it is open."""
        before, after = change.before, change.after
        number = before.problem_number if before else None
        if number is None or (after.problem_number == number and after.state not in DONE):
            return
        await session.flush()
        case = tables.SupportCase
        is_open = (case.problem_number == number) & case.state.not_in(DONE)
        if await session.scalar(select(func.count()).select_from(case).where(is_open)):
            return
        row = await problem_row(session, number)
        if row.state == ProblemState.OPEN:
            outcome = problems.closed(problem_of(row), "Closed: all its cases are closed.", change.now)
            await save_problem(session, row, outcome, SYSTEM, change.now)


def member_of(number: int, fault: str, at: datetime, device: tables.Device) -> Member:
    """Return a case with what it could have in common with others."""
    return Member(
        number=number,
        device=device.device,
        fault=fault,
        at=at,
        firmware=device.firmware,
        site=device.site,
        model=device.hardware,
    )


async def problem_row(session: AsyncSession, number: int) -> tables.Problem:
    """Return the row of a problem. Raises LookupError."""
    row = await session.get(tables.Problem, number)
    if row is None:
        raise LookupError(f"There is no problem {number}.")
    return row


async def save_problem(
    session: AsyncSession, row: tables.Problem, outcome: ProblemOutcome, actor: str, now: datetime
) -> None:
    """Write what the rules made of a problem."""
    write(row, outcome[0])
    await add_entries(session, outcome[0], outcome[1], actor, now)


async def add_entries(
    session: AsyncSession, problem: Problem, entries: tuple[ProblemEntry, ...], actor: str, now: datetime
) -> None:
    """Add lines to the timeline of a problem."""
    for entry in entries:
        session.add(
            tables.ProblemEntry(problem_number=problem.number, at=now, actor=actor, kind=entry.kind, text=entry.text)
        )


async def _open_problems(session: AsyncSession) -> Sequence[tables.Problem]:
    """The open problems; read once in a transaction."""
    known: Sequence[tables.Problem] | None = session.info.get(OPEN_PROBLEMS)
    if known is None:
        with session.no_autoflush:
            known = session.info[OPEN_PROBLEMS] = (await session.scalars(_OPEN)).all()
    return known
