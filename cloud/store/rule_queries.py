"""The reads of problems, silences and the watch list, each with a name and a purpose."""

from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.cases import DONE
from cloud.cases.problems import ProblemState
from cloud.store.tables import (
    Account,
    Device,
    Episode,
    EpisodeState,
    Notice,
    Problem,
    ProblemEntry,
    Silence,
    SupportCase,
)
from edge_agent.protocol.faults import Severity

_CASE_WORKERS = (
    select(Account.name).where(Account.disabled_at.is_(None), Account.role != "viewer").order_by(Account.name)
)
_RANK = case({each.value: each.rank for each in Severity}, value=SupportCase.severity, else_=len(Severity))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemLine:
    """A problem as a list shows it."""

    problem: Problem
    cases: int
    open_cases: int
    severity: str  # of its most urgent open case; empty if none is open


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemFile:
    """All that the page of one problem shows."""

    line: ProblemLine
    entries: tuple[ProblemEntry, ...]
    cases: tuple[tuple[SupportCase, Device], ...]  # open ones first, then the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceLine:
    """A silence and the episodes that it suppressed."""

    silence: Silence
    episodes: tuple[Episode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLinks:
    """What a case is connected with."""

    problem: Problem | None
    merged: tuple[SupportCase, ...]  # cases that continue in this one
    causes: dict[int, str]  # the fault that explains an episode, by the episode's id
    accounts: tuple[str, ...]  # to whom it can be handed over
    others: tuple[SupportCase, ...]  # open cases of the same device, to merge with


async def problems(session: AsyncSession, limit: int, *, open_only: bool = False) -> tuple[ProblemLine, ...]:
    """Problems with the counts of their cases, open ones first, then the newest."""
    query = select(Problem).order_by(Problem.state.desc(), Problem.number.desc()).limit(limit)
    if open_only:
        query = query.where(Problem.state == ProblemState.OPEN)
    rows = (await session.scalars(query)).all()
    counts = await _counts(session, [row.number for row in rows])
    return tuple(_line(row, counts) for row in rows)


async def problem_file(session: AsyncSession, number: int, limit: int) -> ProblemFile | None:
    """Everything about one problem; None if there is no such problem."""
    row = await session.get(Problem, number)
    if row is None:
        return None
    entries = await session.scalars(
        select(ProblemEntry).where(ProblemEntry.problem_number == number).order_by(ProblemEntry.id)
    )
    query = (
        select(SupportCase, Device)
        .join(Device, Device.device == SupportCase.device)
        .where(SupportCase.problem_number == number)
        .order_by(case((SupportCase.state.in_(DONE), 1), else_=0), _RANK, SupportCase.number.desc())
        .limit(limit)
    )
    cases = [(each[0], each[1]) for each in await session.execute(query)]
    return ProblemFile(line=_line(row, await _counts(session, [number])), entries=tuple(entries), cases=tuple(cases))


async def silences(session: AsyncSession, limit: int) -> tuple[SilenceLine, ...]:
    """Silences, those that end last first, each with what it suppressed."""
    rows = (await session.scalars(select(Silence).order_by(Silence.ends_at.desc()).limit(limit))).all()
    suppressed: dict[int, list[Episode]] = {}
    query = select(Episode).where(Episode.silence_number.in_([row.number for row in rows])).order_by(Episode.id.desc())
    for episode in await session.scalars(query.limit(limit * 10)):
        suppressed.setdefault(episode.silence_number or 0, []).append(episode)
    return tuple(SilenceLine(silence=row, episodes=tuple(suppressed.get(row.number, ()))) for row in rows)


async def watch_list(session: AsyncSession, device: str, limit: int) -> tuple[tuple[Episode, Device], ...]:
    """Episodes that began for information: those that are still there first, the most confident on top."""
    is_over = case((Episode.state == EpisodeState.RESOLVED, 1), else_=0)
    query = (
        select(Episode, Device)
        .join(Device, Device.device == Episode.device)
        .where(Episode.first_severity == Severity.INFO)
        .order_by(is_over, Episode.confidence.desc(), Episode.last_at.desc())
        .limit(limit)
    )
    if device:
        query = query.where(Episode.device == device)
    return tuple((row[0], row[1]) for row in await session.execute(query))


async def notices(session: AsyncSession, account: str, limit: int) -> tuple[Notice, ...]:
    """What others did with the cases that a person handed over, the newest first."""
    query = select(Notice).where(Notice.account == account).order_by(Notice.id.desc()).limit(limit)
    return tuple(await session.scalars(query))


async def case_links(session: AsyncSession, found: SupportCase, episodes: tuple[Episode, ...]) -> CaseLinks:
    """What the page of a case says about other cases, faults and people."""
    explained = {each.id: each.explained_by for each in episodes if each.explained_by is not None}
    causes = await session.execute(select(Episode.id, Episode.fault).where(Episode.id.in_(explained.values())))
    faults = {id_: fault for id_, fault in causes}  # noqa: C416  rows are no pairs for the type checker
    merged = await session.scalars(select(SupportCase).where(SupportCase.merged_into == found.number))
    others = await session.scalars(
        select(SupportCase)
        .where(SupportCase.device == found.device, SupportCase.number != found.number)
        .where(SupportCase.state.not_in(DONE))
        .order_by(SupportCase.number.desc())
        .limit(20)
    )
    return CaseLinks(
        problem=await session.get(Problem, found.problem_number) if found.problem_number else None,
        merged=tuple(merged),
        causes={effect: faults[cause] for effect, cause in explained.items() if cause in faults},
        accounts=tuple(await session.scalars(_CASE_WORKERS)),
        others=tuple(others),
    )


async def _counts(session: AsyncSession, numbers: list[int]) -> dict[int, tuple[int, int, int]]:
    if not numbers:
        return {}
    is_open = SupportCase.state.not_in(DONE)
    query = (
        select(SupportCase.problem_number, func.count(), func.count().filter(is_open), func.min(_RANK).filter(is_open))
        .where(SupportCase.problem_number.in_(numbers))
        .group_by(SupportCase.problem_number)
    )
    return {row[0] or 0: (row[1], row[2], row[3]) for row in await session.execute(query)}


def _line(row: Problem, counts: dict[int, tuple[int, int, int]]) -> ProblemLine:
    cases, open_cases, rank = counts.get(row.number, (0, 0, None))
    severity = list(Severity)[rank].value if rank is not None and rank < len(Severity) else ""
    return ProblemLine(problem=row, cases=cases, open_cases=open_cases, severity=severity)
