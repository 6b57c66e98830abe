"""What staff do with cases: hand-over, snooze, merge, each with its rules and its timeline."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseChange, CaseService
from cloud.case_service.rows import case_of
from cloud.cases import staff_rules
from cloud.cases.cases import CaseState, Label, Refused
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Outcome
from cloud.store.tables import Account
from edge_agent.protocol.faults import Severity
from tests.builders import NOON
from tests.cloud.case_service.fleet import all_cases, all_episodes, at, clear, kinds, report, texts

SERVICE = CaseService(Rules())


@pytest.fixture
async def staffed(session: AsyncSession) -> AsyncSession:
    for name in ("alice", "bob", "carol"):
        session.add(Account(name=name, password_hash="", created_at=NOON))
    await report(SERVICE, session, 0)
    return session


async def two_cases(session: AsyncSession) -> None:
    """Cases 1 and 2 of one device: the second opened when the first had only to be labelled."""
    await clear(SERVICE, session, 10)
    await SERVICE.tick(session, at(400))
    await report(SERVICE, session, 500, fault="memory.leak", component="memory")


async def test_a_hand_over_keeps_the_first_owner_informed_until_the_case_is_closed(staffed: AsyncSession) -> None:
    changes: list[CaseChange] = []

    class Follower:
        async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:  # noqa: ARG002
            changes.append(change)

    service = CaseService(Rules(), (Follower(),))
    await service.staff.take(staffed, 1, "alice", at(60))
    await service.staff.hand_over(staffed, 1, "alice", "bob", "needs a new card", at(120))
    await service.staff.hand_over(staffed, 1, "bob", "carol", "card is here", at(180))
    (case,) = await all_cases(staffed)
    assert (case.owner, case.first_owner) == ("carol", "alice")
    assert staff_rules.informed(case_of(case)) == {"carol", "alice"}
    await service.staff.close(staffed, 1, "carol", Outcome(label=Label.TRUE_FAULT), at(240))
    assert staff_rules.informed(case_of(case)) == {"carol"}
    before = changes[-1].before
    assert before is not None
    assert "alice" in staff_rules.informed(before)  # the closing itself still reaches her
    assert (await texts(staffed))[2] == "Handed over to bob by alice: needs a new card"


async def test_a_hand_over_needs_an_owner_a_note_and_an_account(staffed: AsyncSession) -> None:
    with pytest.raises(Refused, match="is not assigned"):
        await SERVICE.staff.hand_over(staffed, 1, "alice", "bob", "yours", at(60))
    await SERVICE.staff.take(staffed, 1, "alice", at(60))
    with pytest.raises(Refused, match="Enter a note"):
        await SERVICE.staff.hand_over(staffed, 1, "alice", "bob", " ", at(60))
    with pytest.raises(Refused, match="assigned to alice already"):
        await SERVICE.staff.hand_over(staffed, 1, "alice", "alice", "mine", at(60))
    with pytest.raises(Refused, match="There is no account “mallory”"):
        await SERVICE.staff.hand_over(staffed, 1, "alice", "mallory", "yours", at(60))


async def test_a_snoozed_case_reminds_at_its_time_and_not_before(staffed: AsyncSession) -> None:
    await SERVICE.staff.snooze(staffed, 1, "alice", at(7200), "the part arrives", at(60))
    (case,) = await all_cases(staffed)
    assert (case.state, case.owner, case.reminder_at) == (CaseState.PENDING_REMINDER, "alice", at(7200))
    assert not await SERVICE.tick(staffed, at(7199))
    assert await SERVICE.tick(staffed, at(7200))
    assert (case.state, case.reminder_at) == (CaseState.OPEN, None)
    assert (await texts(staffed))[-1] == "Reminder for alice: the part arrives"


async def test_a_critical_fault_ends_a_snooze(staffed: AsyncSession) -> None:
    await SERVICE.staff.snooze(staffed, 1, "alice", at(7200), "", at(60))
    await report(SERVICE, staffed, 120, fault="storage.read_only", severity=Severity.CRITICAL)
    (case,) = await all_cases(staffed)
    assert (case.state, case.reminder_at) == (CaseState.OPEN, None)


async def test_a_snoozed_case_whose_fault_is_over_needs_its_label(staffed: AsyncSession) -> None:
    await SERVICE.staff.snooze(staffed, 1, "alice", at(7200), "", at(60))
    await clear(SERVICE, staffed, 120)
    await SERVICE.tick(staffed, at(500))
    (case,) = await all_cases(staffed)
    assert (case.state, case.reminder_at) == (CaseState.PENDING_CLOSE, None)
    with pytest.raises(Refused, match="pending close and can't be snoozed"):
        await SERVICE.staff.snooze(staffed, 1, "alice", at(7200), "", at(600))


async def test_a_snooze_has_an_end_and_can_be_ended(staffed: AsyncSession) -> None:
    with pytest.raises(Refused, match="must be in the future"):
        await SERVICE.staff.snooze(staffed, 1, "alice", at(60), "", at(60))
    with pytest.raises(Refused, match="at most 90 days"):
        await SERVICE.staff.snooze(staffed, 1, "alice", NOON + timedelta(days=91), "", at(60))
    with pytest.raises(Refused, match="is not snoozed"):
        await SERVICE.staff.wake(staffed, 1, "alice", at(60))
    await SERVICE.staff.snooze(staffed, 1, "alice", at(7200), "", at(60))
    await SERVICE.staff.wake(staffed, 1, "bob", at(90))
    assert (await all_cases(staffed))[0].state == CaseState.OPEN


async def test_a_merged_case_continues_in_the_other_one(staffed: AsyncSession) -> None:
    await two_cases(staffed)
    await SERVICE.staff.merge(staffed, 2, 1, "alice", at(600))
    first, second = await all_cases(staffed)
    assert (second.state, second.merged_into) == (CaseState.MERGED, 1)
    assert first.state == CaseState.NEW  # it waited for its label, and goes on
    assert {episode.case_number for episode in await all_episodes(staffed)} == {1}
    await report(SERVICE, staffed, 700, fault="memory.leak", component="memory", severity=Severity.CRITICAL)
    assert (first.severity, second.severity) == (Severity.CRITICAL, Severity.WARNING)
    assert (await kinds(staffed, 2))[-1] == "merged"


async def test_zammad_2377_a_wrong_merge_is_taken_back_completely(staffed: AsyncSession) -> None:
    """A new ticket for each mail, or a wrong merge."""
    await two_cases(staffed)
    before = [(each.fault, each.case_number) for each in await all_episodes(staffed)]
    states = [case.state for case in await all_cases(staffed)]
    await SERVICE.staff.merge(staffed, 2, 1, "alice", at(600))
    with pytest.raises(Refused, match="Enter a reason"):
        await SERVICE.staff.unmerge(staffed, 2, "alice", "", at(610))
    await SERVICE.staff.unmerge(staffed, 2, "alice", "wrong case", at(610))
    assert [(each.fault, each.case_number) for each in await all_episodes(staffed)] == before
    assert [case.state for case in await all_cases(staffed)] == states
    assert (await kinds(staffed, 2))[-2:] == ["merged", "unmerged"]


async def test_a_merge_that_makes_no_sense_is_refused(staffed: AsyncSession) -> None:
    await two_cases(staffed)
    with pytest.raises(Refused, match="into itself"):
        await SERVICE.staff.merge(staffed, 1, 1, "alice", at(600))
    with pytest.raises(LookupError, match="There is no case 9"):
        await SERVICE.staff.merge(staffed, 1, 9, "alice", at(600))
    with pytest.raises(Refused, match="is not merged"):
        await SERVICE.staff.unmerge(staffed, 1, "alice", "why", at(600))
    await SERVICE.staff.close(staffed, 1, "alice", Outcome(label=Label.TRUE_FAULT), at(600))
    with pytest.raises(Refused, match="Reopen it first"):
        await SERVICE.staff.merge(staffed, 2, 1, "alice", at(700))


async def test_who_takes_a_case_has_seen_its_faults(staffed: AsyncSession) -> None:
    await SERVICE.staff.take(staffed, 1, "alice", at(60))
    (episode,) = await all_episodes(staffed)
    assert (episode.acknowledged_by, episode.acknowledged_at) == ("alice", at(60))


async def test_an_episode_of_the_watch_list_is_acknowledged_once(staffed: AsyncSession) -> None:
    await report(SERVICE, staffed, 60, fault="anomaly.unknown", severity=Severity.INFO)
    for name, after_s in (("bob", 70), ("carol", 80)):
        await SERVICE.staff.acknowledge(staffed, 2, name, at(after_s))
    assert (await all_episodes(staffed))[1].acknowledged_by == "bob"
