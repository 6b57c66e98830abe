"""A fault hides its consequences, and they stand for themselves when it is over and they are not."""

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.cases import CaseState, Label
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Outcome
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Phase
from tests.cloud.case_service.fleet import all_cases, all_episodes, at, clear, kinds, report, texts

SERVICE = CaseService(Rules())


async def a_full_disk_with_a_failing_service(session: AsyncSession) -> None:
    await report(SERVICE, session, 0)
    await report(SERVICE, session, 60, fault="service.failed", component="nginx", severity=Severity.HIGH)


async def test_a_full_disk_explains_the_services_that_fail(session: AsyncSession) -> None:
    await a_full_disk_with_a_failing_service(session)
    (case,) = await all_cases(session)
    cause, effect = await all_episodes(session)
    assert (effect.explained_by, effect.case_number) == (cause.id, 1)
    assert case.severity == Severity.WARNING  # the cause's: what it explains does not count twice
    assert await kinds(session) == ["opened", "explained"]
    assert "explained by disk.filling" in (await texts(session))[-1]


async def test_a_cause_that_fires_after_its_consequence_gives_the_case_its_name(session: AsyncSession) -> None:
    await report(SERVICE, session, 0, fault="thermal.throttled", component="cpu")
    await report(SERVICE, session, 60, fault="power.undervoltage", component="supply", severity=Severity.HIGH)
    (case,) = await all_cases(session)
    effect, cause = await all_episodes(session)
    assert effect.explained_by == cause.id
    assert "supply" in case.title.lower()
    assert await kinds(session) == ["opened", "finding", "severity", "explained"]


async def test_a_critical_fault_is_never_explained_away(session: AsyncSession) -> None:
    await report(SERVICE, session, 0)
    await report(SERVICE, session, 60, fault="service.failed", component="nginx", severity=Severity.CRITICAL)
    assert (await all_cases(session))[0].severity == Severity.CRITICAL
    assert await kinds(session) == ["opened", "breakout", "severity"]


async def test_grafana_42683_a_parent_that_resolves_leaves_its_case_open_while_its_child_still_fails(
    session: AsyncSession,
) -> None:
    """A group resolves while members still fire."""
    await a_full_disk_with_a_failing_service(session)
    await clear(SERVICE, session, 120)
    await SERVICE.tick(session, at(120 + 300))
    (case,) = await all_cases(session)
    assert (case.state, case.severity) == (CaseState.NEW, Severity.HIGH)
    assert (await all_episodes(session))[1].explained_by is None
    assert "unexplained" in await kinds(session)


async def test_a_parent_that_was_closed_leaves_its_child_a_case_of_its_own_when_it_resolves(
    session: AsyncSession,
) -> None:
    await a_full_disk_with_a_failing_service(session)
    await SERVICE.staff.close(session, 1, "alice", Outcome(label=Label.EXPECTED, note="a migration"), at(90))
    await clear(SERVICE, session, 120)
    await SERVICE.tick(session, at(420))
    closed, own = await all_cases(session)
    assert (closed.state, closed.label) == (CaseState.CLOSED, Label.EXPECTED)
    assert (own.state, own.fault) == (CaseState.NEW, "service.failed")
    assert "its cause, is resolved, but it still fails" in own.opened_reason


async def test_a_child_that_recovers_with_its_parent_needs_no_case(session: AsyncSession) -> None:
    await a_full_disk_with_a_failing_service(session)
    await report_clear_of_service(session, 100)
    await clear(SERVICE, session, 120)
    await SERVICE.tick(session, at(500))
    (case,) = await all_cases(session)
    assert case.state == CaseState.PENDING_CLOSE


async def report_clear_of_service(session: AsyncSession, after_s: float) -> None:
    await report(SERVICE, session, after_s, fault="service.failed", component="nginx", phase=Phase.CLEAR)
