"""Case assignment: the case of an episode that fires, the fault that explains it, the problem that it is part of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.case_writer import SYSTEM, CaseWriter
from cloud.case_service.problem_links import ProblemLinks, member_of
from cloud.case_service.rows import case_of, episode_of
from cloud.cases import cases, explanations, problems
from cloud.cases.cases import DONE, WORKING, Case, EntryKind, Label, TimelineEntry
from cloud.cases.episodes import EpisodeState
from cloud.cases.lanes import History
from cloud.cases.problems import Problem
from cloud.cases.rules import Rules
from cloud.store import tables
from edge_agent.protocol.faults import OBSERVED_BY_CLOUD

CASES_READ = 50  # of a device, the newest: those that are worked on, and those of the same fault
_LAST_RESOLVED = (
    select(func.max(tables.Episode.resolved_at))
    .where(
        tables.Episode.case_number == tables.SupportCase.number,
        tables.Episode.fault == bindparam("fault"),
        tables.Episode.component == bindparam("component"),
    )
    .correlate(tables.SupportCase)
    .scalar_subquery()
)
_OF_INTEREST = (
    tables.SupportCase.state.in_(WORKING)
    | (tables.SupportCase.fault == bindparam("fault"))
    | (bindparam("since") <= _LAST_RESOLVED)
)
_KNOWN = (
    select(tables.Device, tables.SupportCase, _LAST_RESOLVED)
    .outerjoin(tables.SupportCase, (tables.SupportCase.device == tables.Device.device) & _OF_INTEREST)
    .where(tables.Device.device == bindparam("device"))
    .order_by(tables.SupportCase.number.desc())
    .limit(CASES_READ)
)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a device and its cases when an episode fires."""

    device: tables.Device
    own: tables.SupportCase | None  # of the last episode of the same fault and component, within the reopening window
    current: tables.SupportCase | None  # the newest that is being worked on, or waits to be taken
    history: History


class CaseAssignment:
    """Finds or opens the case of an episode that fires."""

    def __init__(self, rules: Rules, writer: CaseWriter) -> None:
        self._rules, self._writer = rules, writer
        self._problems = ProblemLinks(rules, writer)

    async def assign(
        self,
        session: AsyncSession,
        row: tables.Episode,
        related: Sequence[tables.Episode],
        fired: str,
        now: datetime,
    ) -> None:
        """Give an episode that fires its case; what it explains, or what explains it of `related`, follows."""
        if await self._join_cause(session, row, related, fired, now):
            return
        known = await self._known(session, row)
        member = member_of(0, row.fault, now, known.device)
        problem = await self._problems.find(session, member)
        own, current = _case(known.own), _case(known.current)
        severity = episode_of(row).severity
        if current and problems.stands_apart(row.fault, severity, current, problem):
            current = None
        chosen = cases.choose_case(own, current)
        if chosen is None:
            problem = problem or await self._problems.make(session, member, now)
            await self._open(session, row, known, problem, fired, now)
        else:
            chosen_row = known.own if known.own and known.own.number == chosen.number else known.current
            assert chosen_row is not None
            await self._attach(session, row, chosen_row, problem, fired, now)
        await self._explain(session, row, related, now)

    async def release_effects(
        self, session: AsyncSession, cause: tables.Episode, now: datetime
    ) -> list[tables.Episode]:
        """Say of the consequences of a resolved episode, which still fail, that they stand for themselves now.

        Returns those whose case is done: they need another one.
        """
        still = (tables.Episode.explained_by == cause.id) & (tables.Episode.state == EpisodeState.FIRING)
        homeless = []
        for row in (await session.scalars(select(tables.Episode).where(still))).all():
            row.explained_by = None
            number = row.case_number
            case_row = await session.get(tables.SupportCase, number) if number is not None else None
            if case_row is None or case_row.state in DONE:
                homeless.append(row)
                continue
            title = cases.title_of(row.device, episode_of(row))
            text = f"{title}: {cause.fault}, its cause, is resolved, but it still fails. It is evaluated on its own."
            await self._writer.recompute(session, case_row.number, (_entry(EntryKind.UNEXPLAINED, text, row),), now)
        return homeless

    async def _join_cause(
        self, session: AsyncSession, row: tables.Episode, related: Sequence[tables.Episode], fired: str, now: datetime
    ) -> bool:
        """Let an episode join the case of the fault that explains it; return whether there is one."""
        candidates = {each.id: each for each in related if each.case_number is not None}
        causes = [(id_, episode_of(each)) for id_, each in candidates.items()]
        id_ = explanations.find_cause(episode_of(row), causes)
        if id_ is None:
            return False
        case_row = await session.get_one(tables.SupportCase, candidates[id_].case_number)
        if case_row.state in DONE:
            return False
        row.explained_by, row.case_number = id_, case_row.number
        session.add(row)
        text = f"{cases.title_of(row.device, episode_of(row))}: explained by {candidates[id_].fault}; {fired}."
        outcome = case_of(case_row), (_entry(EntryKind.EXPLAINED, text, row),)
        await self._writer.save(session, case_row, outcome, SYSTEM, now)
        return True

    async def _explain(
        self, session: AsyncSession, cause: tables.Episode, related: Sequence[tables.Episode], now: datetime
    ) -> None:
        """Say of what fired before that this episode explains it; the case that has both is named after the cause."""
        effects = [
            each
            for each in related
            if each.case_number is not None
            and each.explained_by is None
            and each.state == EpisodeState.FIRING
            and explanations.can_explain(episode_of(cause), episode_of(each))
        ]
        if effects:
            await session.flush()  # the database numbers a new episode
        for effect in effects:
            effect.explained_by = cause.id
            row = await session.get_one(tables.SupportCase, effect.case_number)
            if row.state in DONE:
                continue
            where = "" if row.number == cause.case_number else f" in case {cause.case_number}"
            text = f"{cases.title_of(effect.device, episode_of(effect))}: explained by {cause.fault}{where}."
            case = case_of(row)
            if not where:
                case = replace(case, title=cases.title_of(cause.device, episode_of(cause)))
            await self._writer.save(session, row, (case, (_entry(EntryKind.EXPLAINED, text, effect),)), SYSTEM, now)

    async def _open(
        self,
        session: AsyncSession,
        row: tables.Episode,
        known: _Known,
        problem: Problem | None,
        fired: str,
        now: datetime,
    ) -> None:
        episode = episode_of(row)
        who = "Observed by the cloud" if row.fault in OBSERVED_BY_CLOUD else "The device reports"
        why = f"{who}: {row.sentence.rstrip('.')}. {fired[:1].upper()}{fired[1:]}."
        case, entry = cases.opened(row.device, episode, why, _case(known.own), now)
        case = cases.in_lane(case, str(row.detector.get("judge", "")), known.history)
        entries = [entry]
        if problem:
            case, entry = problems.linked(case, problem, now)
            entries.append(entry)
            await self._problems.joined(session, problem, now)
        case_row = await self._writer.open(session, case, entries, now)
        row.case_number = case_row.number
        session.add(row)
        if problem is None:
            self._problems.opened(session, case_row, known.device)
        await self._writer.follow(session, case_row, [episode], (), now)

    async def _attach(
        self,
        session: AsyncSession,
        row: tables.Episode,
        case_row: tables.SupportCase,
        problem: Problem | None,
        fired: str,
        now: datetime,
    ) -> None:
        case, entry = cases.attach_episode(case_of(case_row), episode_of(row), fired, now)
        await self._writer.save(session, case_row, (case, (entry,)), SYSTEM, now)
        row.case_number = case.number
        session.add(row)
        if problem and case.problem_number is None and case.fault == row.fault:
            await self._problems.link(session, case_row, problem, now)
        await self._writer.recompute(session, case.number, (), now)

    async def _known(self, session: AsyncSession, row: tables.Episode) -> _Known:
        since = row.first_at - timedelta(seconds=self._rules.reopen_window_s)
        wanted = {"device": row.device, "fault": row.fault, "component": row.component, "since": since}
        with session.no_autoflush:
            rows = (await session.execute(_KNOWN, wanted)).all()
        found = [(each[1], each[2]) for each in rows if each[1] is not None]
        recent = [(at, each.number, each) for each, at in found if at is not None and at >= since]
        working = [each for each, _ in found if each.state in WORKING and cases.can_share(row.fault, each.fault)]
        return _Known(
            device=rows[0][0],
            own=max(recent, key=lambda item: item[:2])[2] if recent else None,
            current=working[0] if working else None,
            history=_history([each for each, _ in found if each.fault == row.fault]),
        )


def _history(same: Sequence[tables.SupportCase]) -> History:
    confirmed = sum(each.label == Label.TRUE_FAULT for each in same)
    without = (Label.NO_FAULT_FOUND, Label.FALSE_ALARM, Label.EXPECTED)
    return History(recovered=sum(each.label in without for each in same), confirmed=confirmed)


def _entry(kind: EntryKind, text: str, row: tables.Episode) -> TimelineEntry:
    return TimelineEntry(kind, text, {"fault": row.fault, "component": row.component})


def _case(row: tables.SupportCase | None) -> Case | None:
    return case_of(row) if row else None
