"""The clock applies the thresholds of each fault to the rows that it changes."""

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.cases.rules import FaultRules
from tests.cloud.case_service.fleet import all_cases, at, clear, report

SERVICE = CaseService(Rules(faults={"memory.leak": FaultRules(debounce_s=600.0, hold_down_s=60.0)}))


async def test_the_clock_knows_the_debounce_and_hold_down_of_each_fault(session: AsyncSession) -> None:
    for fault in ("memory.leak", "disk.filling"):
        await report(SERVICE, session, 0, fault=fault, component="a", lasted_s=0)
    await SERVICE.tick(session, at(6))
    assert [case.fault for case in await all_cases(session)] == ["disk.filling"]
    assert not await SERVICE.tick(session, at(599))
    assert await SERVICE.tick(session, at(600))
    for fault in ("memory.leak", "disk.filling"):
        await report_clear(session, 700, fault)
    assert await SERVICE.tick(session, at(760))
    assert not await SERVICE.tick(session, at(999))
    assert await SERVICE.tick(session, at(1000))


async def report_clear(session: AsyncSession, after_s: float, fault: str) -> None:
    await clear(SERVICE, session, after_s, fault=fault, component="a")


async def test_an_unsure_finding_waits_without_waking_the_clock(session: AsyncSession) -> None:
    service = CaseService(Rules(open_above=0.95))
    await report(service, session, 0)
    assert not await service.tick(session, at(3600))
    assert await all_cases(session) == []
