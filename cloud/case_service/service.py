"""Case service: what findings, evidence and the passing of time do to episodes and cases."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.case_writer import SYSTEM, CaseWriter
from cloud.case_service.evidence import store_evidence
from cloud.case_service.followers import CaseFollower
from cloud.case_service.rows import case_of, episode_of, write
from cloud.case_service.staff_actions import StaffActions
from cloud.cases import cases, episodes
from cloud.cases.cases import EntryKind, TimelineEntry
from cloud.cases.episodes import Change, Decision, Episode, EpisodeState, Event, Rules, Transition, dated
from cloud.store import tables
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Evidence, Finding, Phase

REASONS_KEPT = 100  # of an episode; one that flaps for weeks would grow its row without end

_TIMELINE_KINDS = {
    Change.CLEARED: EntryKind.CLEARED,
    Change.FLAPPED: EntryKind.FLAPPED,
    Change.RESOLVED: EntryKind.RESOLVED,
}


class CaseService:
    """Applies the rules and stores their decisions."""

    def __init__(self, rules: Rules, followers: Sequence[CaseFollower] = ()) -> None:
        """`followers` are called, in their order, for every change of a case."""
        self._rules = rules
        self._writer = CaseWriter(followers)
        self.staff = StaffActions(self._writer)

    async def apply_finding(self, session: AsyncSession, device: str, finding: Finding, received_at: datetime) -> None:
        """Begin or continue the episode of its fault and component. Raises ValueError for an impossible date."""
        event = Event(at=dated(finding.at, received_at), now=received_at)
        row = await _latest_episode(session, device, finding)
        if row and row.state != EpisodeState.RESOLVED:  # what happened until this event comes first
            await self._save_transition(
                session, row, episodes.on_time_passed(episode_of(row), event, self._rules), received_at
            )
        if row and row.state != EpisodeState.RESOLVED:
            transition = episodes.on_finding(episode_of(row), finding, event, self._rules)
        elif finding.phase is Phase.CLEAR:
            return  # over before anything was known of it
        else:
            transition = episodes.on_first_finding(finding, event, self._rules)
            row = tables.Episode(device=device, reasons=[])
            session.add(row)
        _copy_finding(row, finding, event.at)
        await self._save_transition(session, row, transition, received_at)

    async def apply_evidence(
        self, session: AsyncSession, device: str, evidence: Evidence, received_at: datetime
    ) -> None:
        """Keep a part of an evidence pack. Raises ValueError if this part is there already, with another content."""
        await store_evidence(session, self._writer, device, evidence, received_at)

    async def tick(self, session: AsyncSession, now: datetime) -> bool:
        """Let time pass for every episode that it changes now; say whether there was one."""
        rows = await session.scalars(select(tables.Episode).where(self._due(now)).with_for_update())
        changed = False
        for row in rows.all():
            transition = episodes.on_time_passed(episode_of(row), Event(at=now, now=now), self._rules)
            if transition[1]:
                await self._save_transition(session, row, transition, now)
                changed = True
        return changed

    def _due(self, now: datetime) -> ColumnElement[bool]:
        """Select the episodes that `on_time_passed` would change: hold-down or debounce over, or impact nearer."""
        episode, rules = tables.Episode, self._rules
        there = episode.cleared_at.is_(None)
        lasting = (episode.state == EpisodeState.PENDING) & (episode.severity != Severity.INFO)
        lasted = there & lasting & (episode.first_at <= now - timedelta(seconds=rules.debounce_s))
        away = episode.cleared_at <= now - timedelta(seconds=rules.hold_down_s)
        near = [
            there & episode.severity.in_(_less_urgent_than(severity)) & (at < now + timedelta(seconds=limit_s))
            for severity, limit_s in rules.limits()
            for at in (episode.impact_low_at, episode.impact_at)
        ]
        return (episode.state != EpisodeState.RESOLVED) & or_(lasted, away, *near)

    async def _save_transition(
        self, session: AsyncSession, row: tables.Episode, transition: Transition, now: datetime
    ) -> None:
        """Write an episode and its decisions down, and let its case follow."""
        episode, decisions = transition
        write(row, episode)
        row.reasons = [*row.reasons, *(_reason(decision, now) for decision in decisions)][-REASONS_KEPT:]
        fired = [decision.reason for decision in decisions if decision.change is Change.FIRED]
        if fired:
            await self._assign_case(session, row, episode, fired[0], now)
        if row.case_number is not None:
            timeline = [
                _timeline_entry(row.device, episode, each) for each in decisions if _belongs_in_timeline(episode, each)
            ]
            await self._update_case(session, row.case_number, timeline, now)

    async def _assign_case(
        self, session: AsyncSession, row: tables.Episode, episode: Episode, fired: str, now: datetime
    ) -> None:
        """Find or open the case of an episode that fires."""
        own, current = await self._own_case(session, row), await _current_case(session, row.device)
        known = {found.number: found for found in (own, current) if found}
        own_case = case_of(own) if own else None
        chosen = cases.choose_case(own_case, case_of(current) if current else None)
        if chosen is None:
            why = f"The device reports: {row.sentence.rstrip('.')}. {fired[:1].upper()}{fired[1:]}."
            case, entry = cases.opened(row.device, episode, why, own_case, now)
            row.case_number = (await self._writer.open(session, case, (entry,), now)).number
        else:
            case, entry = cases.attach_episode(chosen, episode, fired, now)
            await self._writer.save(session, known[case.number], (case, (entry,)), SYSTEM, now)
            row.case_number = case.number

    async def _update_case(
        self, session: AsyncSession, number: int, timeline: Sequence[TimelineEntry], now: datetime
    ) -> None:
        """Let a case follow its episodes: what happened to them first, then what that means for the case."""
        row = await session.get_one(tables.SupportCase, number, with_for_update=True)
        firing = await session.scalars(
            select(tables.Episode).where(
                tables.Episode.case_number == number, tables.Episode.state == EpisodeState.FIRING
            )
        )
        case, entries = cases.recompute_severity(case_of(row), [episode_of(each) for each in firing], now)
        await self._writer.save(session, row, (case, (*timeline, *entries)), SYSTEM, now)

    async def _own_case(self, session: AsyncSession, row: tables.Episode) -> tables.SupportCase | None:
        """The case of the last episode of the same fault and component, if that ended within the reopening window."""
        since = row.first_at - timedelta(seconds=self._rules.reopen_window_s)
        query = (
            select(tables.SupportCase)
            .join(tables.Episode, tables.Episode.case_number == tables.SupportCase.number)
            .where(_same_fault(row.device, row.fault, row.component), tables.Episode.resolved_at >= since)
            .order_by(tables.Episode.resolved_at.desc(), tables.Episode.id.desc())
            .limit(1)
            .with_for_update(of=tables.SupportCase)
        )
        return await session.scalar(query)


async def _latest_episode(session: AsyncSession, device: str, finding: Finding) -> tables.Episode | None:
    """The newest episode of a fault on a component; only the newest can be unresolved."""
    query = (
        select(tables.Episode)
        .where(_same_fault(device, finding.fault, finding.component))
        .order_by(tables.Episode.id.desc())
        .limit(1)
        .with_for_update()
    )
    return await session.scalar(query)


async def _current_case(session: AsyncSession, device: str) -> tables.SupportCase | None:
    """The newest case of a device that is being worked on, or waits to be taken."""
    query = (
        select(tables.SupportCase)
        .where(tables.SupportCase.device == device, tables.SupportCase.state.in_(cases.WORKING))
        .order_by(tables.SupportCase.number.desc())
        .limit(1)
        .with_for_update()
    )
    return await session.scalar(query)


def _less_urgent_than(severity: Severity) -> list[Severity]:
    """The severities that an impact raises to this one."""
    return [other for other in Severity if other.rank > severity.rank]


def _same_fault(device: str, fault: str, component: str) -> ColumnElement[bool]:
    episode = tables.Episode
    return (episode.device == device) & (episode.fault == fault) & (episode.component == component)


def _belongs_in_timeline(episode: Episode, decision: Decision) -> bool:
    """Whether a decision gets a line of the timeline. From the second return on, a flapping fault is only counted."""
    return decision.change is Change.RESOLVED or (decision.change in _TIMELINE_KINDS and episode.flaps <= 1)


def _timeline_entry(device: str, episode: Episode, decision: Decision) -> TimelineEntry:
    sentence = f"{cases.title_of(device, episode)}: {decision.reason}."
    if decision.change is Change.FLAPPED:
        sentence += " Further recurrences are only counted."
    return TimelineEntry(
        _TIMELINE_KINDS[decision.change], sentence, {"fault": episode.fault, "component": episode.component}
    )


def _reason(decision: Decision, now: datetime) -> dict[str, str]:
    return {"at": now.isoformat(), "decision": decision.change, "reason": decision.reason}


def _copy_finding(row: tables.Episode, finding: Finding, at: datetime) -> None:
    """Copy the device's own text. The reason of a clear does not replace the reason of the finding."""
    row.last_at = at
    if finding.phase is Phase.CLEAR:
        return
    row.confidence, row.sentence, row.finding_id = finding.confidence, finding.reason, finding.finding_id
    row.carriers = [carrier.model_dump(mode="json") for carrier in finding.carriers]
    row.detector = finding.detector.model_dump(mode="json")
    row.evidence_id = finding.evidence_id or row.evidence_id
