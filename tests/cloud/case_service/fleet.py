"""A small fleet for tests of the case service: devices, what they report, and the passing of time."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.store.tables import CaseEntry, Device, Episode, Problem, SupportCase
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Phase
from tests.builders import DEVICE, NOON, a_finding


def at(after_s: float) -> datetime:
    return NOON + timedelta(seconds=after_s)


def add_devices(session: AsyncSession, *names: str, firmware: str = "", site: str = "", model: str = "") -> None:
    for name in names:
        device = Device(device=name, first_seen=NOON, last_seen=NOON, firmware=firmware, site=site, hardware=model)
        session.add(device)


async def report(
    service: CaseService,
    session: AsyncSession,
    after_s: float,
    *,
    device: str = DEVICE,
    fault: str = "disk.filling",
    component: str = "/data",
    severity: Severity = Severity.WARNING,
    phase: Phase = Phase.OPEN,
    lasted_s: float = 10.0,
) -> None:
    """Report a finding that has lasted for longer than the debounce, or its clearing."""
    finding = a_finding(phase, after_s, fault=fault, component=component, severity=severity, since_s=after_s - lasted_s)
    await service.apply_finding(session, device, finding, finding.at.wall)


async def clear(
    service: CaseService,
    session: AsyncSession,
    after_s: float,
    *,
    device: str = DEVICE,
    fault: str = "disk.filling",
    component: str = "/data",
) -> None:
    await report(service, session, after_s, device=device, fault=fault, component=component, phase=Phase.CLEAR)


async def all_cases(session: AsyncSession) -> Sequence[SupportCase]:
    return (await session.scalars(select(SupportCase).order_by(SupportCase.number))).all()


async def all_problems(session: AsyncSession) -> Sequence[Problem]:
    return (await session.scalars(select(Problem).order_by(Problem.number))).all()


async def all_episodes(session: AsyncSession) -> Sequence[Episode]:
    return (await session.scalars(select(Episode).order_by(Episode.id))).all()


async def kinds(session: AsyncSession, number: int = 1) -> list[str]:
    query = select(CaseEntry.kind).where(CaseEntry.case_number == number).order_by(CaseEntry.id)
    return list((await session.scalars(query)).all())


async def texts(session: AsyncSession, number: int = 1) -> list[str]:
    query = select(CaseEntry.text).where(CaseEntry.case_number == number).order_by(CaseEntry.id)
    return list((await session.scalars(query)).all())
