"""Who is told, and how often: rows in the transaction of the change, one mail for an outage, none twice."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.calendars import DAYS, CalendarTable
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Label, Outcome
from cloud.notify import NotificationFollower, NotifyTable
from cloud.notify.states import NotificationState
from cloud.store.database import Database
from cloud.store.service_tables import Notification
from cloud.store.tables import Account, Device
from edge_agent.protocol.faults import Severity
from tests.builders import DEVICE, NOON
from tests.cloud.case_service.fleet import add_devices, all_cases, all_problems, at, clear, report

TEAM = "support@example.org"
SETTINGS = NotifyTable(
    to=[TEAM],
    operators=["operations@example.org"],
    people={"alice": "alice@example.org", "bob": "bob@example.org"},
)
OFFICE = CalendarTable(zone="UTC", hours={day: ["09:00-17:00"] for day in DAYS[:5]}).calendar("office")
SERVICE = CaseService(Rules(), (NotificationFollower(SETTINGS, OFFICE),))


async def rows(session: AsyncSession, *states: str) -> Sequence[Notification]:
    found = (await session.scalars(select(Notification).order_by(Notification.id))).all()
    return [row for row in found if not states or row.state in states]


async def mails(session: AsyncSession) -> list[tuple[str, str]]:
    """What is sent, or would be: event and address."""
    return [(row.event, row.address) for row in await rows(session) if row.state != NotificationState.GROUPED]


async def send_all(session: AsyncSession) -> None:
    for row in await rows(session, NotificationState.PENDING):
        row.state = NotificationState.SENT
    await session.flush()


def add_staff(session: AsyncSession) -> None:
    for name in ("alice", "bob"):
        session.add(Account(name=name, password_hash="", created_at=NOON))


async def test_a_case_that_opens_is_one_mail_to_the_team_with_what_was_seen(session: AsyncSession) -> None:
    await report(SERVICE, session, 10)
    (row,) = await rows(session)
    assert (row.event, row.address, row.group_key, row.state) == ("opened", TEAM, "case:1", "pending")
    assert "/data grows by 2 GB an hour" in row.text
    assert (row.reason, row.due_at) == ("new case, warning", at(40))


async def test_a_critical_case_waits_least(session: AsyncSession) -> None:
    await report(SERVICE, session, 10, severity=Severity.CRITICAL)
    (row,) = await rows(session)
    assert row.due_at == at(15)


async def test_the_row_is_written_with_the_change_or_not_at_all(database: Database) -> None:
    async def fail() -> None:
        async with database.begin() as session:
            session.add(Device(device=DEVICE, first_seen=NOON, last_seen=NOON))
            await report(SERVICE, session, 10)
            assert len(await rows(session)) == 1
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        await fail()
    async with database.read() as session:
        assert await rows(session) == []
        assert await all_cases(session) == []


@pytest.mark.parametrize("away_s", [60, 100])
async def test_50_toggles_of_a_fault_in_2_hours_are_one_case_and_at_most_2_mails(
    session: AsyncSession, away_s: float
) -> None:
    """Also when each return is a resolved case that is reopened: the hold-down is shorter than the pause then."""
    follower = NotificationFollower(SETTINGS, OFFICE)
    service = CaseService(Rules(hold_down_s=80.0), (follower,))
    for toggle in range(50):
        await report(service, session, toggle * 144.0)
        await send_all(session)
        await clear(service, session, toggle * 144.0 + 144 - away_s)
        await service.tick(session, at(toggle * 144.0 + 143))
    (case,) = await all_cases(session)
    assert len(await mails(session)) == (1 if away_s == 60 else 2)
    assert sum(row.repeats for row in await rows(session)) == (0 if away_s == 60 else 48), "counted, not dropped"
    assert case.number == 1


async def test_wants_one_mail_per_outage_thingsboard_12338(session: AsyncSession) -> None:
    """500 devices of a site in five minutes."""
    names = [f"kiln-{number:03}" for number in range(500)]
    add_devices(session, *names, site="Harbour", firmware="fw-9")
    await session.flush()
    for number, name in enumerate(names):
        await report(SERVICE, session, number * 0.6, device=name)
    (problem,) = await all_problems(session)
    (row,) = [row for row in await rows(session) if row.state == NotificationState.PENDING]
    assert (row.group_key, row.problem_number) == (f"problem:{problem.number}", problem.number)
    assert row.repeats == 499
    await send_all(session)
    await report(SERVICE, session, 301, device=DEVICE, fault="storage.read_only", severity=Severity.CRITICAL)
    assert len(await mails(session)) == 2, "an unrelated critical fault has its own"


async def test_a_case_that_becomes_critical_is_mailed_again(session: AsyncSession) -> None:
    await report(SERVICE, session, 10)
    await send_all(session)
    await report(SERVICE, session, 60, severity=Severity.CRITICAL)
    assert await mails(session) == [("opened", TEAM), ("critical", TEAM)]


async def test_the_first_owner_is_kept_informed_after_a_hand_over_until_the_case_is_closed(
    session: AsyncSession,
) -> None:
    add_staff(session)
    await report(SERVICE, session, 10)
    await send_all(session)
    await SERVICE.staff.take(session, 1, "alice", at(60))
    await SERVICE.staff.hand_over(session, 1, "alice", "bob", "The log grows; I am off until Monday.", at(70))
    await SERVICE.staff.note(session, 1, "bob", "Rotated the log.", at(80))
    await send_all(session)
    await SERVICE.staff.close(session, 1, "bob", Outcome(label=Label.TRUE_FAULT), at(90))
    personal = [row for row in await rows(session) if row.address != TEAM]
    assert [(row.event, row.address) for row in personal] == [
        ("handed_over", "bob@example.org"),
        ("followed", "alice@example.org"),
        ("followed", "alice@example.org"),
    ]
    assert "I am off until Monday" in personal[0].text
    assert (personal[1].text, personal[2].text) == ("Rotated the log.", "Closed by bob as true fault.")
    await SERVICE.staff.note(session, 1, "bob", "Later.", at(99))
    assert len(await rows(session)) == 4, "closed: the first owner is told no more"


async def test_a_reminder_at_midnight_waits_for_office_hours_zammad_4432_and_2157(session: AsyncSession) -> None:
    add_staff(session)
    await report(SERVICE, session, 10)
    friday_midnight = NOON + timedelta(days=2, hours=12)  # noon is a Wednesday
    await SERVICE.staff.snooze(session, 1, "alice", friday_midnight, "look again", at(60))
    await SERVICE.tick(session, friday_midnight)
    (row,) = [row for row in await rows(session) if row.event == "reminder"]
    assert (row.address, row.due_at) == ("alice@example.org", NOON + timedelta(days=4, hours=21))
    assert row.due_at.strftime("%A %H:%M") == "Monday 09:00"


async def test_a_fault_of_the_cloud_itself_is_mailed_to_whoever_runs_it(session: AsyncSession) -> None:
    await report(SERVICE, session, 10, fault="ingest.dead_letters", component="pump-07/findings")
    assert await mails(session) == [("opened", "operations@example.org")]


async def test_what_staff_do_themselves_is_not_mailed_to_the_team(session: AsyncSession) -> None:
    await report(SERVICE, session, 10)
    await SERVICE.staff.take(session, 1, "alice", at(60))
    await SERVICE.staff.close(session, 1, "alice", Outcome(label=Label.NO_FAULT_FOUND), at(70))
    await SERVICE.staff.reopen(session, 1, "alice", "too early", at(80))
    assert await mails(session) == [("opened", TEAM)]


async def test_a_case_below_the_least_severity_is_not_mailed(session: AsyncSession) -> None:
    quiet = NotifyTable(to=[TEAM], least_severity="high")
    await report(CaseService(Rules(), (NotificationFollower(quiet),)), session, 10)
    assert await rows(session) == []
