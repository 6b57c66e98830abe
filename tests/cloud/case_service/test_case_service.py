"""The case service writes down what the rules decide, in one transaction with its timeline."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases import episodes as rules
from cloud.cases.cases import CaseState, EntryKind, Label, Refused
from cloud.cases.episodes import EpisodeState, Rules
from cloud.cases.outcomes import Outcome
from cloud.store.tables import CaseEntry, Episode, EvidenceRow, SupportCase
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import EvidencePart, Finding, Phase
from tests.builders import DEVICE, NOON, a_finding, an_evidence, an_id, an_impact

SERVICE = CaseService(Rules())
HOUR = 3600.0


async def report(session: AsyncSession, *findings: Finding) -> None:
    """Apply findings as they are said, and let the clock tick six seconds after each."""
    for finding in findings:
        await SERVICE.apply_finding(session, DEVICE, finding, finding.at.wall)
        await SERVICE.tick(session, finding.at.wall + timedelta(seconds=6))


async def all_cases(session: AsyncSession) -> Sequence[SupportCase]:
    return (await session.scalars(select(SupportCase).order_by(SupportCase.number))).all()


async def only_case(session: AsyncSession) -> SupportCase:
    (case,) = await all_cases(session)
    return case


async def entries(session: AsyncSession, number: int = 1) -> Sequence[CaseEntry]:
    query = select(CaseEntry).where(CaseEntry.case_number == number).order_by(CaseEntry.id)
    return (await session.scalars(query)).all()


async def kinds(session: AsyncSession, number: int = 1) -> list[str]:
    return [entry.kind for entry in await entries(session, number)]


async def test_a_finding_that_lasts_opens_a_case_with_title_severity_impact_and_reasons(session: AsyncSession) -> None:
    await report(session, a_finding(impact=an_impact(3 * HOUR), evidence_id=an_id(2)))
    case, episode = await only_case(session), await session.scalar(select(Episode))
    assert case.title == "File system /data of pump-07 is filling up"
    assert (case.state, case.severity, case.impact_at) == (CaseState.NEW, Severity.HIGH, NOON + timedelta(hours=3))
    assert case.opened_reason == (
        "The device reports: /data grows by 2 GB an hour. Lasted 6 s (longer than the 5 s debounce)."
    )
    assert "less than 4 h is high" in case.severity_reason
    assert episode is not None
    assert (episode.state, episode.case_number, episode.evidence_id) == (EpisodeState.FIRING, 1, an_id(2))
    assert [reason["decision"] for reason in episode.reasons] == ["opened", "raised", "fired"]
    assert episode.sentence == "/data grows by 2 GB an hour"
    assert await kinds(session) == [EntryKind.OPENED]


async def test_information_is_kept_and_opens_no_case(session: AsyncSession) -> None:
    await report(session, a_finding(fault="anomaly.unknown", severity=Severity.INFO))
    assert await all_cases(session) == []
    assert await session.scalar(select(Episode.state)) == EpisodeState.PENDING


async def test_zammad_1907_a_fault_that_is_reported_again_makes_no_other_case(session: AsyncSession) -> None:
    await report(session, a_finding(), a_finding(Phase.UPDATE, 60, finding_id=an_id(9)), a_finding(Phase.OPEN, 120))
    (episode,) = (await session.scalars(select(Episode))).all()
    assert episode.findings == 3
    assert await kinds(session) == [EntryKind.OPENED]


async def test_a_case_follows_its_fault_to_the_end_and_then_waits_for_its_label(session: AsyncSession) -> None:
    await report(session, a_finding(impact=an_impact(2 * HOUR)), a_finding(Phase.UPDATE, 60, impact=an_impact(600)))
    assert (await only_case(session)).severity == Severity.CRITICAL
    await report(session, a_finding(Phase.CLEAR, 120, since_s=0))
    assert (await only_case(session)).impact_at is None
    assert not await SERVICE.tick(session, NOON + timedelta(seconds=419))
    assert await SERVICE.tick(session, NOON + timedelta(seconds=420))
    case = await only_case(session)
    assert (case.state, case.label) == (CaseState.PENDING_CLOSE, None)
    assert await kinds(session) == ["opened", "severity", "cleared", "resolved", "pending_close"]


async def test_time_that_changes_nothing_reports_no_change(session: AsyncSession) -> None:
    await report(session, a_finding())
    assert not await SERVICE.tick(session, NOON + timedelta(hours=1))


async def test_the_clock_looks_at_exactly_the_episodes_that_it_changes(session: AsyncSession) -> None:
    stands = [(EpisodeState.FIRING, severity) for severity in Severity]
    stands += [(EpisodeState.PENDING, severity) for severity in Severity if severity is not Severity.CRITICAL]
    first, cleared = seconds(-6, -5, -4), (None, *seconds(-301, -300, -299))
    impact = (None, *seconds(-1, 899, 900, 14399, 14400, 86399, 86400))
    for number, (stand, first_at, cleared_at, impact_at) in enumerate(
        itertools.product(stands, first, cleared, impact)
    ):
        row = an_episode_row(*stand, first_at, cleared_at, impact_at)
        row.component = str(number)
        session.add(row)
    await session.flush()
    expected = {row.component for row in (await session.scalars(select(Episode))).all() if changes_by_itself(row)}
    await SERVICE.tick(session, NOON)
    found = {row.component for row in (await session.scalars(select(Episode))).all() if row.reasons}
    assert found == expected
    assert 0 < len(found) < number
    assert not await SERVICE.tick(session, NOON)


def seconds(*after_noon: float) -> tuple[datetime, ...]:
    return tuple(NOON + timedelta(seconds=after_s) for after_s in after_noon)


def an_episode_row(
    state: EpisodeState, severity: Severity, first_at: datetime, cleared_at: datetime | None, impact_at: datetime | None
) -> Episode:
    return Episode(
        device=DEVICE,
        fault="disk.filling",
        state=state,
        severity=severity,
        severity_reason="",
        confidence=1.0,
        sentence="",
        carriers=[],
        detector={},
        finding_id=an_id(1),
        first_at=first_at,
        last_at=first_at,
        cleared_at=cleared_at,
        impact_low_at=impact_at,
        impact_at=impact_at,
        reasons=[],
        findings=1,
        flaps=0,
    )


def changes_by_itself(row: Episode) -> bool:
    episode = rules.Episode(
        fault=row.fault,
        component=row.component,
        state=EpisodeState(row.state),
        severity=Severity(row.severity),
        severity_reason="",
        first_at=row.first_at,
        impact_low_at=row.impact_low_at,
        impact_at=row.impact_at,
        cleared_at=row.cleared_at,
    )
    return bool(rules.on_time_passed(episode, rules.Event(at=NOON, now=NOON), Rules())[1])


async def test_a_backlog_is_evaluated_like_the_same_findings_live(session: AsyncSession) -> None:
    late = NOON + timedelta(hours=2)
    for finding in (
        a_finding(),
        a_finding(Phase.CLEAR, 600, since_s=0),
        a_finding(after_s=HOUR, severity=Severity.HIGH),
    ):
        await SERVICE.apply_finding(session, DEVICE, finding, late)
    await SERVICE.tick(session, late)
    first, second = (await session.scalars(select(Episode).order_by(Episode.id))).all()
    assert (first.state, first.resolved_at) == (EpisodeState.RESOLVED, NOON + timedelta(seconds=900))
    assert (second.state, second.case_number) == (EpisodeState.FIRING, first.case_number)
    assert (await only_case(session)).opened_at == late  # the case is the cloud's, and dated by its clock


async def test_a_clearing_of_an_unknown_fault_changes_nothing(session: AsyncSession) -> None:
    await report(session, a_finding(Phase.CLEAR))
    assert (await session.scalars(select(Episode))).all() == []


async def a_closed_case(session: AsyncSession, label: Label) -> None:
    await report(session, a_finding(), a_finding(Phase.CLEAR, 60, since_s=0))
    await SERVICE.tick(session, NOON + timedelta(seconds=360))
    await SERVICE.staff.close(
        session, 1, "alice", Outcome(label=label, note="card replaced"), NOON + timedelta(minutes=10)
    )


async def test_a_fault_that_returns_within_a_day_reopens_its_closed_case(session: AsyncSession) -> None:
    await a_closed_case(session, Label.TRUE_FAULT)
    await report(session, a_finding(after_s=20 * HOUR))
    case = await only_case(session)
    assert (case.state, case.label, case.closed_at) == (CaseState.NEW, None, None)
    assert (await kinds(session))[-2:] == [EntryKind.CLOSED, EntryKind.REOPENED]


async def test_a_fault_that_returns_after_a_day_is_another_case(session: AsyncSession) -> None:
    await a_closed_case(session, Label.TRUE_FAULT)
    await report(session, a_finding(after_s=26 * HOUR))
    assert [case.state for case in await all_cases(session)] == [CaseState.CLOSED, CaseState.NEW]


async def test_a_false_alarm_keeps_its_label_when_the_fault_returns(session: AsyncSession) -> None:
    await a_closed_case(session, Label.FALSE_ALARM)
    await report(session, a_finding(after_s=20 * HOUR))
    first, second = await all_cases(session)
    assert (first.state, first.label) == (CaseState.CLOSED, Label.FALSE_ALARM)
    assert "closed as false alarm" in second.opened_reason


async def test_two_faults_of_one_device_are_one_case_as_urgent_as_the_worse(session: AsyncSession) -> None:
    await report(session, a_finding(), a_finding(after_s=60, fault="memory.leak", component="memory"))
    await report(session, a_finding(after_s=120, fault="storage.read_only", severity=Severity.CRITICAL))
    assert (await only_case(session)).severity == Severity.CRITICAL
    assert await kinds(session) == ["opened", "finding", "breakout", "severity"]
    await report(session, a_finding(Phase.CLEAR, 200, fault="storage.read_only", since_s=120))
    await SERVICE.tick(session, NOON + timedelta(seconds=501))
    assert (await only_case(session)).severity == Severity.WARNING


async def test_a_flapping_fault_is_reported_once_and_then_counted(session: AsyncSession) -> None:
    for start in range(0, 1200, 120):
        await report(session, a_finding(after_s=start), a_finding(Phase.CLEAR, start + 60, since_s=start))
    assert await session.scalar(select(Episode.flaps)) == 9
    assert await kinds(session) == ["opened", "cleared", "flapped", "cleared"]


async def test_an_unknown_fault_has_an_episode_and_a_case(session: AsyncSession) -> None:
    await report(session, a_finding(fault="flux.capacitor", component="c" * 200))
    assert (await only_case(session)).title.startswith("flux.capacitor on ccc")


async def test_evidence_is_stored_dated_checked_and_listed_in_the_timeline(session: AsyncSession) -> None:
    await report(session, a_finding(evidence_id=an_id(2)))
    forged = an_evidence(EvidencePart.AFTER, after_s=60).model_copy(update={"events": ("forged",)})
    for pack in (an_evidence(), forged):
        await SERVICE.apply_evidence(session, DEVICE, pack, pack.at.wall)
    before, after = (await session.scalars(select(EvidenceRow).order_by(EvidenceRow.part.desc()))).all()
    assert (before.intact, before.detected_at) == (True, NOON)
    assert (after.part, after.intact) == ("after", False)
    timeline = await entries(session)
    assert [entry.kind for entry in timeline] == ["opened", "evidence", "evidence"]
    assert "do not rely on it" in timeline[-1].text


async def test_evidence_is_never_replaced(session: AsyncSession) -> None:
    await SERVICE.apply_evidence(session, DEVICE, an_evidence(), NOON)
    await SERVICE.apply_evidence(session, DEVICE, an_evidence(), NOON)
    with pytest.raises(ValueError, match="stored already, with another content"):
        await SERVICE.apply_evidence(session, DEVICE, an_evidence(values=(9.0,)), NOON)


async def test_what_people_do_stands_in_the_timeline_with_their_name(session: AsyncSession) -> None:
    await report(session, a_finding())
    later = NOON + timedelta(minutes=1)
    await SERVICE.staff.take(session, 1, "alice", later)
    await SERVICE.staff.note(session, 1, "alice", "called the customer", later)
    await SERVICE.staff.release(session, 1, "bob", later)
    await SERVICE.staff.close(session, 1, "bob", Outcome(label=Label.EXPECTED, note="backup test"), later)
    await SERVICE.staff.reopen(session, 1, "alice", "not ours", later)
    timeline = [(entry.actor, entry.kind) for entry in await entries(session)]
    assert timeline == [
        ("forewarn", "opened"),
        ("alice", "taken"),
        ("alice", "note"),
        ("bob", "released"),
        ("bob", "closed"),
        ("alice", "reopened"),
    ]
    assert (await only_case(session)).state == CaseState.NEW


async def test_a_case_that_does_not_exist_is_not_found(session: AsyncSession) -> None:
    with pytest.raises(LookupError, match="There is no case 12"):
        await SERVICE.staff.take(session, 12, "alice", NOON)


async def test_of_two_concurrent_changes_the_second_is_refused(session: AsyncSession) -> None:
    await report(session, a_finding())
    case = await only_case(session)
    statement = update(SupportCase).values(owner="bob", version=case.version + 1)
    await session.execute(statement, execution_options={"synchronize_session": False})  # by another connection
    with pytest.raises(Refused, match="was changed by somebody else at the same time"):
        await SERVICE.staff.take(session, 1, "alice", NOON)


async def test_nothing_is_written_when_nothing_has_changed(session: AsyncSession) -> None:
    await report(session, a_finding())
    await session.flush()
    version = (await only_case(session)).version
    await report(session, a_finding(Phase.UPDATE, 60))
    await SERVICE.tick(session, NOON + timedelta(hours=2))
    await session.flush()
    assert (await only_case(session)).version == version
