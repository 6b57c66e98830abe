"""Problem actions: what people do to problems, one method for each."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.problem_links import problem_row, save_problem
from cloud.case_service.rows import problem_of
from cloud.case_service.staff_actions import StaffActions
from cloud.cases import problems
from cloud.cases.cases import DONE
from cloud.cases.outcomes import Outcome
from cloud.cases.problems import Problem, ProblemOutcome
from cloud.store import tables


class ProblemActions:
    """Applies the rules of what a person may do with a problem. Raises LookupError or Refused."""

    def __init__(self, staff: StaffActions) -> None:
        self._staff = staff

    async def take(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """Give the problem to `actor`."""
        await self._apply(session, number, actor, now, lambda problem: problems.taken(problem, actor))

    async def announce(self, session: AsyncSession, number: int, actor: str, text: str, now: datetime) -> None:
        """Set the one text that all cases of the problem show."""
        await self._apply(session, number, actor, now, lambda problem: problems.announced(problem, actor, text, now))

    async def note(self, session: AsyncSession, number: int, actor: str, text: str, now: datetime) -> None:
        """Write something down in the problem's timeline."""
        await self._apply(session, number, actor, now, lambda problem: problems.noted(problem, text))

    async def close(self, session: AsyncSession, number: int, actor: str, outcome: Outcome, now: datetime) -> None:
        """Close the problem, and all its open cases with one outcome."""
        row = await problem_row(session, number)
        case = tables.SupportCase
        is_open = (case.problem_number == number) & case.state.not_in(DONE)
        numbers = (await session.scalars(select(case.number).where(is_open).order_by(case.number))).all()
        text = f"Closed by {actor} with {len(numbers)} cases as {outcome.label.replace('_', ' ')}."
        await save_problem(session, row, problems.closed(problem_of(row), text, now), actor, now)
        of_each = replace(outcome, note=f"With problem {number}. {outcome.note}".strip())
        for each in numbers:
            await self._staff.close(session, each, actor, of_each, now)

    async def _apply(
        self,
        session: AsyncSession,
        number: int,
        actor: str,
        now: datetime,
        rule: Callable[[Problem], ProblemOutcome],
    ) -> None:
        row = await problem_row(session, number)
        await save_problem(session, row, rule(problem_of(row)), actor, now)
