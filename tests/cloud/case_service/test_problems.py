"""Cases with one cause are linked to one problem; storms are grouped, never dropped."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.cases import CaseState, Label
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Outcome
from cloud.store.tables import ProblemEntry, SupportCase
from edge_agent.protocol.faults import Severity
from tests.builders import DEVICE
from tests.cloud.case_service.fleet import add_devices, all_cases, all_problems, at, clear, kinds, report

SERVICE = CaseService(Rules())


async def a_storm(
    session: AsyncSession, devices: int, *, over_s: float = 300.0, service: CaseService = SERVICE
) -> None:
    """The same fault on devices of one firmware, evenly over a time."""
    names = [f"kiln-{number:03}" for number in range(devices)]
    add_devices(session, *names, firmware="fw-9")
    await session.flush()
    for number, name in enumerate(names):
        await report(service, session, number * over_s / devices, device=name)


async def test_500_devices_in_five_minutes_are_one_problem_and_an_unrelated_critical_keeps_its_own_case(
    session: AsyncSession,
) -> None:
    await a_storm(session, 499)
    add_devices(session, "kiln-900", firmware="fw-9")
    await session.flush()
    await report(SERVICE, session, 150, device="kiln-900", fault="storage.read_only", severity=Severity.CRITICAL)
    await report(SERVICE, session, 299, device="kiln-900")
    (problem,) = await all_problems(session)
    assert (problem.fault, problem.scope, problem.value) == ("disk.filling", "firmware", "fw-9")
    cases = await all_cases(session)
    (critical,) = [case for case in cases if case.severity == Severity.CRITICAL]
    assert (critical.device, critical.problem_number) == ("kiln-900", None)
    assert len(cases) == 501  # nothing is dropped
    assert all(case.problem_number == problem.number for case in cases if case is not critical)


async def test_a_critical_fault_of_another_kind_is_not_buried_in_the_storms_case_of_its_own_device(
    session: AsyncSession,
) -> None:
    await a_storm(session, 5)
    await report(SERVICE, session, 310, device="kiln-002", fault="storage.read_only", severity=Severity.CRITICAL)
    *storm, critical = await all_cases(session)
    assert {case.problem_number for case in storm} == {1}
    assert (critical.device, critical.severity, critical.problem_number) == ("kiln-002", Severity.CRITICAL, None)


async def test_two_devices_and_devices_with_nothing_in_common_are_no_problem(session: AsyncSession) -> None:
    await a_storm(session, 2)
    for number in range(5):
        add_devices(session, f"pump-{number}", firmware=f"fw-{number}", site=f"site {number}")
        await session.flush()
        await report(SERVICE, session, 400 + number, device=f"pump-{number}")
    add_devices(session, "unknown-1", "unknown-2", "unknown-3")
    await session.flush()
    for number in (1, 2, 3):
        await report(SERVICE, session, 500 + number, device=f"unknown-{number}")
    assert await all_problems(session) == []


async def test_a_whole_site_at_once_is_one_problem(session: AsyncSession) -> None:
    for number in range(3):
        add_devices(session, f"pump-{number}", firmware=f"fw-{number}", site="Harbour")
        await session.flush()
        await report(SERVICE, session, number, device=f"pump-{number}", component=f"/mnt/{number}")
    (problem,) = await all_problems(session)
    assert (problem.scope, problem.value) == ("site", "Harbour")
    assert "3 devices of site Harbour" in problem.opened_reason


async def test_a_case_long_after_the_last_one_joins_no_problem(session: AsyncSession) -> None:
    await a_storm(session, 3)
    add_devices(session, "kiln-late", firmware="fw-9")
    await session.flush()
    await report(SERVICE, session, 300 + 3601, device="kiln-late")
    assert [case.problem_number for case in await all_cases(session)] == [1, 1, 1, None]


async def test_closing_a_problem_closes_its_cases_with_one_label(session: AsyncSession) -> None:
    await a_storm(session, 4)
    await SERVICE.problems.take(session, 1, "alice", at(400))
    await SERVICE.problems.announce(session, 1, "alice", "Firmware 9 fills /data. Roll back.", at(410))
    await SERVICE.problems.close(session, 1, "alice", Outcome(label=Label.TRUE_FAULT, note="rolled back"), at(500))
    cases = await all_cases(session)
    assert {(case.state, case.label) for case in cases} == {(CaseState.CLOSED, Label.TRUE_FAULT)}
    (problem,) = await all_problems(session)
    assert (problem.state, problem.owner, problem.announcement[:10]) == ("closed", "alice", "Firmware 9")
    written = (await session.scalars(select(ProblemEntry.kind).order_by(ProblemEntry.id))).all()
    assert list(written) == ["opened", "taken", "announced", "closed"]


async def test_a_problem_closes_with_its_last_case_and_a_case_with_another_cause_leaves_it(
    session: AsyncSession,
) -> None:
    await a_storm(session, 3)
    await SERVICE.staff.unlink(session, 1, "alice", "this one is a broken log rotation", at(400))
    for number in (2, 3):
        assert (await all_problems(session))[0].state == "open"
        await SERVICE.staff.close(session, number, "alice", Outcome(label=Label.TRUE_FAULT), at(500))
    assert (await all_problems(session))[0].state == "closed"
    assert (await all_cases(session))[0].state == CaseState.NEW
    assert await kinds(session, 1) == ["opened", "linked", "unlinked"]


async def test_a_case_that_a_person_took_out_of_a_problem_stays_out(session: AsyncSession) -> None:
    await a_storm(session, 3)
    await SERVICE.staff.unlink(session, 1, "alice", "a broken log rotation", at(310))
    await clear(SERVICE, session, 320, device="kiln-000")
    await SERVICE.tick(session, at(700))
    await report(SERVICE, session, 800, device="kiln-000")  # reopens its own case
    for number in (2, 3):
        await SERVICE.staff.close(session, number, "alice", Outcome(label=Label.TRUE_FAULT), at(900))
    add_devices(session, "kiln-8", "kiln-9", firmware="fw-9")
    for number in (8, 9):
        await report(SERVICE, session, 1000 + number, device=f"kiln-{number}")
    first, *_, eighth, ninth = await all_cases(session)
    assert (first.problem_number, eighth.problem_number, ninth.problem_number) == (None, None, None)


async def test_alertmanager_3048_a_noisy_device_makes_one_case_however_often_it_reports(session: AsyncSession) -> None:
    """1 % of targets make 99 % of the noise."""
    for number in range(200):
        await report(SERVICE, session, number * 3.0, component="/data")
    assert len(await all_cases(session)) == 1
    assert await kinds(session) == ["opened"]


async def test_keep_4766_one_fault_that_comes_and_goes_300_times_is_one_case(session: AsyncSession) -> None:
    """One problem fired 23,696 times."""
    for number in range(300):
        await report(SERVICE, session, number * 20.0)
        await clear(SERVICE, session, number * 20.0 + 10)
    assert await session.scalar(select(func.count()).select_from(SupportCase)) == 1
    assert len(await kinds(session)) <= 4


async def test_fifty_toggles_in_two_hours_are_one_case(session: AsyncSession) -> None:
    for number in range(50):
        await report(SERVICE, session, number * 144.0, lasted_s=10)
        await clear(SERVICE, session, number * 144.0 + 72)
        await SERVICE.tick(session, at(number * 144.0 + 73))
    await SERVICE.tick(session, at(7200 + 301))
    (case,) = await all_cases(session)
    assert (case.device, case.state) == (DEVICE, CaseState.PENDING_CLOSE)
    assert await kinds(session) == ["opened", "cleared", "flapped", "cleared", "resolved", "pending_close"]
