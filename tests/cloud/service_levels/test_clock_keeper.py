"""Service levels: each clock starts, pauses and stops in working time, and a missed goal is noted once."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.calendars import DAYS, Calendar, CalendarTable
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Label, Outcome
from cloud.cases.service_levels import GoalTable, ServiceLevels
from cloud.service_levels import ClockKeeper, clocks_of
from cloud.store.service_tables import CaseClock
from cloud.store.tables import Account
from edge_agent.protocol.faults import Severity
from tests.builders import NOON
from tests.cloud.case_service.fleet import at, clear, kinds, report, texts

HOUR_S = 3600.0
ALICE = "alice"
OFFICE = CalendarTable(zone="UTC", hours={day: ["09:00-17:00"] for day in DAYS[:5]}, holidays=["2026-07-03"])
GOALS = GoalTable(
    calendar="office",
    acknowledge_s=HOUR_S,
    first_response_s=4 * HOUR_S,
    resolution_s=8 * HOUR_S,
    customer_s=2 * HOUR_S,
)
LEVELS = ServiceLevels(warning=GOALS, critical=GoalTable(acknowledge_s=600.0, resolution_s=HOUR_S))


def calendar(name: str) -> Calendar:
    return OFFICE.calendar(name) if name else CalendarTable().calendar("")


KEEPER = ClockKeeper(LEVELS, calendar)
SERVICE = CaseService(Rules(), (KEEPER,))


@pytest.fixture(autouse=True)
async def case(session: AsyncSession) -> None:
    """A case that opens on Wednesday at noon."""
    for name in (ALICE, "bob"):
        session.add(Account(name=name, password_hash="", created_at=NOON))
    await report(SERVICE, session, 0)


async def clock(session: AsyncSession, kind: str) -> CaseClock:
    await session.flush()
    return next(row for row in await clocks_of(session, 1) if row.kind == kind)


async def time_passes(session: AsyncSession, now: datetime) -> None:
    await SERVICE.tick(session, now)
    await KEEPER.tick(session, SERVICE, now)


async def test_the_support_clock_begins_with_the_case_and_counts_working_time(session: AsyncSession) -> None:
    await session.flush()
    assert {row.kind: row.due_at for row in await clocks_of(session, 1)} == {
        "acknowledge": NOON + timedelta(hours=1),
        "first_response": NOON + timedelta(hours=4),
        "resolution": NOON + timedelta(hours=24),  # five hours on Wednesday, three on Thursday
    }


async def test_a_goal_that_is_missed_is_noted_once_in_the_timeline(session: AsyncSession) -> None:
    await time_passes(session, at(HOUR_S - 1))
    assert "breached" not in await kinds(session)
    for seconds in (0, 1, 60):
        await time_passes(session, at(HOUR_S + seconds))
    missed = [text for text in await texts(session) if "missed" in text]
    assert missed == ["Service level missed: acknowledge within 1 h of working time (office)."]
    assert (await clock(session, "acknowledge")).breached_at == at(HOUR_S)


async def test_who_takes_the_case_stops_the_acknowledge_clock_for_good(session: AsyncSession) -> None:
    await SERVICE.staff.take(session, 1, ALICE, at(60))
    await SERVICE.staff.release(session, 1, ALICE, at(120))
    await time_passes(session, at(HOUR_S * 2))
    row = await clock(session, "acknowledge")
    assert (row.spent_s, row.stopped_at, row.breached_at) == (60, at(60), None)


async def test_escalation_after_the_agent_had_answered_zammad_3140(session: AsyncSession) -> None:
    await SERVICE.staff.contact(session, 1, ALICE, "They will empty the disk.", at(3 * HOUR_S))
    await time_passes(session, at(30 * HOUR_S))
    row = await clock(session, "first_response")
    assert (row.stopped_at, row.breached_at) == (at(3 * HOUR_S), None)


async def test_the_customer_clock_runs_from_the_first_word_and_apart_from_the_support_clock(
    session: AsyncSession,
) -> None:
    await SERVICE.staff.contact(session, 1, ALICE, "", at(HOUR_S))
    await SERVICE.staff.contact(session, 1, ALICE, "", at(2 * HOUR_S))
    await clear(SERVICE, session, 2.5 * HOUR_S)
    await time_passes(session, at(2.6 * HOUR_S))
    customer, support = await clock(session, "customer"), await clock(session, "resolution")
    assert (customer.started_at, customer.due_at) == (at(HOUR_S), at(3 * HOUR_S)), "it still waits for the answer"
    assert (support.stopped_at, support.spent_s) == (at(2.6 * HOUR_S), 2.6 * HOUR_S)
    await SERVICE.staff.close(session, 1, ALICE, Outcome(label=Label.TRUE_FAULT), at(2.8 * HOUR_S))
    assert ((await clock(session, "customer")).spent_s, customer.breached_at) == (1.8 * HOUR_S, None)


async def test_a_snooze_pauses_the_resolution_and_its_end_resumes_it(session: AsyncSession) -> None:
    await SERVICE.staff.snooze(session, 1, ALICE, at(27 * HOUR_S), "waits for the customer", at(HOUR_S))
    row = await clock(session, "resolution")
    assert (row.spent_s, row.due_at) == (HOUR_S, None)
    await time_passes(session, at(27 * HOUR_S))
    assert (row.running_since, row.due_at) == (at(27 * HOUR_S), NOON + timedelta(days=5, hours=2)), "over the holiday"


async def test_a_case_that_is_reopened_goes_on_with_the_time_that_was_left(session: AsyncSession) -> None:
    await SERVICE.staff.close(session, 1, ALICE, Outcome(label=Label.NO_FAULT_FOUND), at(HOUR_S))
    await SERVICE.staff.reopen(session, 1, ALICE, "it is back", at(2 * HOUR_S))
    row = await clock(session, "resolution")
    assert (row.spent_s, row.running_since, row.stopped_at) == (HOUR_S, at(2 * HOUR_S), None)


async def test_a_case_that_becomes_critical_gets_the_goals_of_that(session: AsyncSession) -> None:
    await report(SERVICE, session, 1800, severity=Severity.CRITICAL)
    row = await clock(session, "resolution")
    assert (row.goal_s, row.spent_s, row.due_at) == (HOUR_S, 1800, at(HOUR_S))
    assert (await clock(session, "acknowledge")).due_at == at(1800), "its ten minutes are over already"
    await time_passes(session, at(1800))
    assert "breached" in await kinds(session)


async def test_a_goal_missed_between_two_looks_counts_as_missed(session: AsyncSession) -> None:
    await SERVICE.staff.take(session, 1, ALICE, at(HOUR_S + 0.5))
    assert (await clock(session, "acknowledge")).breached_at == at(HOUR_S)


async def test_a_merged_case_runs_no_clock(session: AsyncSession) -> None:
    await report(SERVICE, session, 10, fault="device.absent", component="connection")
    await SERVICE.staff.merge(session, 1, 2, ALICE, at(60))
    await session.flush()
    assert [row.due_at for row in await clocks_of(session, 1)] == [None, None, None]
