"""Case service: what findings, evidence and the passing of time do to episodes and cases."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from sqlalchemy import and_, bindparam, case, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.case_assignment import CaseAssignment
from cloud.case_service.case_writer import SYSTEM, CaseWriter
from cloud.case_service.due import due_episodes, due_reminders
from cloud.case_service.evidence import store_evidence
from cloud.case_service.followers import CaseFollower
from cloud.case_service.notices import HandOverNotices
from cloud.case_service.problem_actions import ProblemActions
from cloud.case_service.problem_links import OPEN_PROBLEMS, RECENT_CASES, ProblemCloser
from cloud.case_service.rows import case_of, episode_of, write
from cloud.case_service.silence_actions import SILENCES, SilenceActions, covering, silences_now
from cloud.case_service.staff_actions import StaffActions
from cloud.cases import cases, episodes, staff_rules
from cloud.cases.cases import EntryKind, TimelineEntry
from cloud.cases.episodes import Change, Decision, Episode, EpisodeState, Event, Rules, Transition, dated
from cloud.cases.explanations import EXPLAINS
from cloud.store import tables
from edge_agent.protocol.records import Evidence, Finding, Phase

REASONS_KEPT = 100  # of an episode; one that flaps for weeks would grow its row without end

_TIMELINE_KINDS = {
    Change.CLEARED: EntryKind.CLEARED,
    Change.FLAPPED: EntryKind.FLAPPED,
    Change.RESOLVED: EntryKind.RESOLVED,
}


_Rule = Callable[[Event], Transition]

READ_ONCE = (SILENCES, OPEN_PROBLEMS, RECENT_CASES)  # in a transaction
EPISODES_READ = 100  # of a device: those of the same fault first, then the newest
_SAME = and_(tables.Episode.fault == bindparam("fault"), tables.Episode.component == bindparam("component"))
_EPISODES = (
    select(tables.Episode)
    .where(tables.Episode.device == bindparam("device"), _SAME | (tables.Episode.state != EpisodeState.RESOLVED))
    .order_by(case((_SAME, 0), else_=1), tables.Episode.id.desc())
    .limit(EPISODES_READ)
    .with_for_update()
)


class CaseService:
    """Applies the rules and stores their decisions."""

    def __init__(self, rules: Rules, followers: Sequence[CaseFollower] = ()) -> None:
        """`followers` are called, in their order, for every change of a case."""
        self._rules = rules
        self._writer = CaseWriter((ProblemCloser(), HandOverNotices(), *followers))
        self._assignment = CaseAssignment(rules, self._writer)
        self.staff = StaffActions(self._writer)
        self.problems = ProblemActions(self.staff)
        self.silences = SilenceActions()

    @property
    def rules(self) -> Rules:
        """The rules that hold now."""
        return self._rules

    def change_rules(self, rules: Rules) -> None:
        """Let other thresholds hold from now on."""
        self._rules = rules

    async def apply_finding(self, session: AsyncSession, device: str, finding: Finding, received_at: datetime) -> None:
        """Begin or continue the episode of its fault and component. Raises ValueError for an impossible date."""
        event = Event(at=dated(finding.at, received_at), now=received_at)
        row, others = await _episodes_of(session, device, finding.fault, finding.component)
        if row and row.state != EpisodeState.RESOLVED:  # what happened until this event comes first
            await self._let_time_pass(session, row, event)
        if row and row.state != EpisodeState.RESOLVED:
            rule: _Rule = partial(episodes.on_finding, episode_of(row), finding, rules=self._rules)
        elif finding.phase is Phase.CLEAR:
            return  # over before anything was known of it
        else:
            rule = partial(episodes.on_first_finding, finding, rules=self._rules)
            row = tables.Episode(device=device, reasons=[])
        _copy_finding(row, finding, event.at)
        await self._apply(session, row, rule, event, others)

    async def apply_evidence(
        self, session: AsyncSession, device: str, evidence: Evidence, received_at: datetime
    ) -> None:
        """Keep a part of an evidence pack. Raises ValueError if this part is there already, with another content."""
        await store_evidence(session, self._writer, device, evidence, received_at)

    async def tick(self, session: AsyncSession, now: datetime) -> bool:
        """Let time pass for every episode and case that it changes now; say whether there was one."""
        rows = (
            await session.scalars(
                select(tables.Episode)
                .where(due_episodes(self._rules, now))
                .order_by(tables.Episode.id)
                .with_for_update()
            )
        ).all()
        changed = [await self._let_time_pass(session, row, Event(at=now, now=now)) for row in rows]
        snoozed = (await session.scalars(select(tables.SupportCase).where(due_reminders(now)).with_for_update())).all()
        for case_row in snoozed:
            await self._writer.save(session, case_row, staff_rules.reminded(case_of(case_row), now), SYSTEM, now)
        return any(changed) or bool(snoozed)

    @staticmethod
    def forget_reads(session: AsyncSession) -> None:
        """Read silences, problems and recent cases again: a part of this transaction was rolled back."""
        for key in READ_ONCE:
            session.info.pop(key, None)

    async def record(self, session: AsyncSession, number: int, entries: Sequence[TimelineEntry], now: datetime) -> None:
        """Add lines to the timeline of a case: what another part of the cloud has decided about it."""
        row = await session.get_one(tables.SupportCase, number)
        await self._writer.save(session, row, (case_of(row), entries), SYSTEM, now)

    async def _let_time_pass(self, session: AsyncSession, row: tables.Episode, event: Event) -> bool:
        rule = partial(episodes.on_time_passed, episode_of(row), rules=self._rules)
        return await self._apply(session, row, rule, event)

    async def _apply(
        self,
        session: AsyncSession,
        row: tables.Episode,
        rule: _Rule,
        event: Event,
        others: Sequence[tables.Episode] | None = None,
    ) -> bool:
        """Write what a rule decides, and let the case follow. `others` are the device's unresolved other episodes."""
        now = event.now
        episode, decisions = await self._decide(session, row.device, rule, event)
        is_as_before = not decisions and _impact(row) == _impact(episode)
        write(row, episode)
        row.reasons = [*row.reasons, *(_reason(decision, now) for decision in decisions)][-REASONS_KEPT:]
        fired = _fired(decisions)
        if fired:
            await self._assign(session, row, others, fired[0], now)
        session.add(row)
        timeline = [
            _timeline_entry(row.device, episode, each) for each in decisions if _belongs_in_timeline(episode, each)
        ]
        if row.case_number is not None and not is_as_before and (timeline or not fired):
            await self._writer.recompute(session, row.case_number, timeline, now)
        if episode.state is EpisodeState.RESOLVED:
            await self._release_effects(session, row, now)
        return bool(decisions)

    async def _decide(self, session: AsyncSession, device: str, rule: _Rule, event: Event) -> Transition:
        """Apply a rule; what would fire is first checked for a silence that covers it."""
        transition = rule(event)
        if not _fired(transition[1]):
            return transition
        candidates = await silences_now(session, event.now)
        if not candidates:
            return transition
        row = await session.get_one(tables.Device, device)
        silence = covering(row, transition[0].fault, candidates, event.now)
        return rule(replace(event, silence=silence)) if silence else transition

    async def _assign(
        self,
        session: AsyncSession,
        row: tables.Episode,
        others: Sequence[tables.Episode] | None,
        fired: str,
        now: datetime,
    ) -> None:
        if others is None:
            _, others = await _episodes_of(session, row.device, row.fault, row.component)
        await self._assignment.assign(session, row, others, fired, now)

    async def _release_effects(self, session: AsyncSession, row: tables.Episode, now: datetime) -> None:
        """Evaluate the consequences of a resolved episode on their own; those of a closed case need another one."""
        if row.fault not in EXPLAINS:
            return
        for effect in await self._assignment.release_effects(session, row, now):
            fired = f"{row.fault}, its cause, is resolved, but it still fails"
            effect.reasons = [*effect.reasons, _reason(Decision(Change.UNEXPLAINED, fired), now)][-REASONS_KEPT:]
            await self._assign(session, effect, None, fired, now)


def _impact(state: Episode | tables.Episode) -> tuple[datetime | None, ...]:
    return state.impact_low_at, state.impact_at, state.impact_high_at


def _fired(decisions: Sequence[Decision]) -> list[str]:
    return [decision.reason for decision in decisions if decision.change is Change.FIRED]


async def _episodes_of(
    session: AsyncSession, device: str, fault: str, component: str
) -> tuple[tables.Episode | None, Sequence[tables.Episode]]:
    """The newest episode of a fault on a component (only the newest can be unresolved), and the unresolved others."""
    wanted = {"device": device, "fault": fault, "component": component}
    with session.no_autoflush:  # rows of other devices are written together at the end of the transaction
        # the attributes as they are in memory: a getter for each row would take a tenth of the time
        if any(vars(row).get("device") == device for row in (*session.new, *session.dirty)):
            await session.flush()
        found = (await session.scalars(_EPISODES, wanted)).all()
    same = [each for each in found if (each.fault, each.component) == (fault, component)]
    others = [each for each in found if (each.fault, each.component) != (fault, component)]
    return (same[0] if same else None), others


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
