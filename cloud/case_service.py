"""The case service: carries out the decisions of the episode and case rules, in the transaction it is given.

What flows in: findings and evidence in the order of their numbers, the passing of time, and what people want.
What flows out: changed episodes and cases, and for each change a line of the case's timeline, in the same transaction.
"""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from cloud.cases import cases, episodes
from cloud.cases.cases import Case, CaseState, EntryKind, Label, Refused, TimelineEntry
from cloud.cases.episodes import Change, Decision, Episode, EpisodeState, Event, Rules, Transition, dated
from cloud.store import tables
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Evidence, EvidencePart, Finding, Phase

SYSTEM = "forewarn"  # the actor of what no person did
REASONS_KEPT = 100  # of an episode; one that flaps for weeks would grow its row without end

_TIMELINE_KINDS = {
    Change.CLEARED: EntryKind.CLEARED,
    Change.FLAPPED: EntryKind.FLAPPED,
    Change.RESOLVED: EntryKind.RESOLVED,
}


class CaseService:
    """Applies the rules and stores their decisions."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    async def apply_finding(self, session: AsyncSession, device: str, finding: Finding, received_at: datetime) -> None:
        """Begin or continue the episode of its fault and component. Raises ValueError for an impossible date."""
        event = Event(at=dated(finding.at, received_at), now=received_at)
        row = await _latest_episode(session, device, finding)
        if row and row.state != EpisodeState.RESOLVED:  # what happened until this event comes first
            await self._save_transition(
                session, row, episodes.on_time_passed(_episode(row), event, self._rules), received_at
            )
        if row and row.state != EpisodeState.RESOLVED:
            transition = episodes.on_finding(_episode(row), finding, event, self._rules)
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
        known = await session.get(tables.EvidenceRow, (evidence.evidence_id, evidence.part))
        body = evidence.model_dump(mode="json")
        if known and (known.device, known.body) != (device, body):
            raise ValueError(
                f"evidence {evidence.evidence_id} {evidence.part}: is stored already, with another content"
            )
        if known:
            return
        since_detection = timedelta(seconds=max(0.0, evidence.at.uptime_s - evidence.detected_uptime_s))
        row = tables.EvidenceRow(
            evidence_id=evidence.evidence_id,
            part=evidence.part,
            device=device,
            finding_id=evidence.finding_id,
            detected_at=dated(evidence.at, received_at) - since_detection,
            intact=evidence.digest() == evidence.sha256,
            body=body,
            received_at=received_at,
        )
        session.add(row)
        await _announce_evidence(session, row)

    async def tick(self, session: AsyncSession, now: datetime) -> bool:
        """Let time pass for every episode that it changes now; say whether there was one."""
        rows = await session.scalars(select(tables.Episode).where(self._due(now)).with_for_update())
        changed = False
        for row in rows.all():
            transition = episodes.on_time_passed(_episode(row), Event(at=now, now=now), self._rules)
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

    async def take(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """Give the case to `actor`."""
        row = await _case_row(session, number)
        await _by_person(session, row, cases.taken(_case(row), actor, now), actor, now)

    async def release(self, session: AsyncSession, number: int, actor: str, now: datetime) -> None:
        """Put the case back for somebody else."""
        row = await _case_row(session, number)
        await _by_person(session, row, cases.released(_case(row), actor, now), actor, now)

    async def close(
        self, session: AsyncSession, number: int, actor: str, label: Label, note: str, now: datetime
    ) -> None:
        """Close the case with what it really was."""
        row = await _case_row(session, number)
        await _by_person(session, row, cases.closed(_case(row), actor, label, note, now), actor, now)

    async def reopen(self, session: AsyncSession, number: int, actor: str, reason: str, now: datetime) -> None:
        """Let the case go on."""
        row = await _case_row(session, number)
        await _by_person(session, row, cases.reopened(_case(row), actor, reason, now), actor, now)

    async def note(self, session: AsyncSession, number: int, actor: str, text: str, now: datetime) -> None:
        """Write something down in the case's timeline."""
        row = await _case_row(session, number)
        await _by_person(session, row, cases.noted(_case(row), actor, text, now), actor, now)

    async def _save_transition(
        self, session: AsyncSession, row: tables.Episode, transition: Transition, now: datetime
    ) -> None:
        """Write an episode and its decisions down, and let its case follow."""
        episode, decisions = transition
        _write(row, episode)
        row.reasons = [*row.reasons, *(_reason(decision, now) for decision in decisions)][-REASONS_KEPT:]
        fired = [decision.reason for decision in decisions if decision.change is Change.FIRED]
        if fired:
            await self._assign_case(session, row, episode, fired[0], now)
        if row.case_number is not None:
            timeline = [
                _timeline_entry(row.device, episode, each) for each in decisions if _belongs_in_timeline(episode, each)
            ]
            await _update_case(session, row.case_number, timeline, now)

    async def _assign_case(
        self, session: AsyncSession, row: tables.Episode, episode: Episode, fired: str, now: datetime
    ) -> None:
        """Find or open the case of an episode that fires."""
        own = await self._own_case(session, row)
        chosen = cases.choose_case(own, await _current_case(session, row.device))
        if chosen is None:
            why = f"The device reports: {row.sentence.rstrip('.')}. {fired[:1].upper()}{fired[1:]}."
            case, entry = cases.opened(row.device, episode, why, own, now)
            case_row = tables.SupportCase(**_columns(case))
            session.add(case_row)
            await session.flush()  # the database numbers it
        else:
            case, entry = cases.attach_episode(chosen, episode, fired, now)
            case_row = await _case_row(session, chosen.number)
            _write(case_row, case)
        row.case_number = case_row.number
        _append_to_timeline(session, case_row.number, (entry,), SYSTEM, now)

    async def _own_case(self, session: AsyncSession, row: tables.Episode) -> Case | None:
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
        found = await session.scalar(query)
        return _case(found) if found else None


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


async def _current_case(session: AsyncSession, device: str) -> Case | None:
    """The newest case of a device that is being worked on, or waits to be taken."""
    query = (
        select(tables.SupportCase)
        .where(tables.SupportCase.device == device, tables.SupportCase.state.in_(cases.WORKING))
        .order_by(tables.SupportCase.number.desc())
        .limit(1)
        .with_for_update()
    )
    found = await session.scalar(query)
    return _case(found) if found else None


async def _case_row(session: AsyncSession, number: int) -> tables.SupportCase:
    row = await session.get(tables.SupportCase, number)
    if row is None:
        raise LookupError(f"There is no case {number}.")
    return row


async def _update_case(session: AsyncSession, number: int, timeline: Sequence[TimelineEntry], now: datetime) -> None:
    """Let a case follow its episodes: what happened to them first, then what that means for the case."""
    row = await session.get_one(tables.SupportCase, number, with_for_update=True)
    firing = await session.scalars(
        select(tables.Episode).where(tables.Episode.case_number == number, tables.Episode.state == EpisodeState.FIRING)
    )
    case, entries = cases.recompute_severity(_case(row), [_episode(each) for each in firing], now)
    _write(row, case)
    _append_to_timeline(session, number, (*timeline, *entries), SYSTEM, now)


async def _by_person(
    session: AsyncSession,
    row: tables.SupportCase,
    outcome: tuple[Case, Sequence[TimelineEntry]],
    actor: str,
    now: datetime,
) -> None:
    """Write what a person did, unless somebody was faster: the row's version is compared and set."""
    case, entries = outcome
    _write(row, case)
    _append_to_timeline(session, case.number, entries, actor, now)
    try:
        await session.flush()
    except StaleDataError:
        raise Refused(
            f"Case {case.number} was changed by somebody else at the same time. Reload it and try again."
        ) from None


async def _announce_evidence(session: AsyncSession, row: tables.EvidenceRow) -> None:
    query = select(tables.Episode.case_number).where(
        tables.Episode.finding_id == row.finding_id, tables.Episode.case_number.is_not(None)
    )
    number = await session.scalar(query)
    if number is None:
        return
    when = "before" if row.part == EvidencePart.BEFORE else "after"
    text = f"Evidence received: the recording from {when} the detection."
    if not row.intact:
        text += " Its checksum does not match its content: do not rely on it."
    entry = TimelineEntry(EntryKind.EVIDENCE, text, {"evidence_id": row.evidence_id, "part": row.part})
    _append_to_timeline(session, number, (entry,), SYSTEM, row.received_at)


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


def _append_to_timeline(
    session: AsyncSession, number: int, entries: Sequence[TimelineEntry], actor: str, now: datetime
) -> None:
    for entry in entries:
        row = tables.CaseEntry(
            case_number=number, at=now, actor=actor, kind=entry.kind, text=entry.text, detail=dict(entry.detail)
        )
        session.add(row)


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


def _episode(row: tables.Episode) -> Episode:
    known = {field.name: getattr(row, field.name) for field in fields(Episode)}
    return Episode(**known | {"state": EpisodeState(row.state), "severity": Severity(row.severity)})


def _case(row: tables.SupportCase) -> Case:
    known = {field.name: getattr(row, field.name) for field in fields(Case)}
    words = {"state": CaseState(row.state), "severity": Severity(row.severity)}
    return Case(**known | words | {"label": Label(row.label) if row.label else None})


def _columns(case: Case) -> dict[str, Any]:
    columns = asdict(case)
    if not case.number:
        del columns["number"]
    return columns


def _write(row: tables.Episode | tables.SupportCase, state: Episode | Case) -> None:
    for field in fields(state):
        setattr(row, field.name, getattr(state, field.name))
