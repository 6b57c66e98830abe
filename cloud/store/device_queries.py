"""The reads of the device list and of a device's page. Each function sends a fixed number of statements."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.cases import DONE
from cloud.cases.device_health import Span
from cloud.store.outcome_tables import CONNECTION, DeviceEvent
from cloud.store.queries import DeviceLine
from cloud.store.tables import SYSTEM_DEVICE, CaseState, Device, Episode, LossRow, SupportCase, TelemetryChunk

OPEN_STATES = frozenset(CaseState) - DONE
ABSENT = "device.absent"
WITH_CASES = "cases"  # a state to filter by: devices with open cases


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFilter:
    """Which devices are wanted; all given fields must fit."""

    text: str = ""  # each word occurs in name, customer, site, model, firmware, owner or a tag
    model: str = ""
    firmware: str = ""
    customer: str = ""
    site: str = ""
    tag: str = ""
    state: str = ""  # online, offline, going_down, expected, or "cases": with open cases


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePage:
    """One page of the device list."""

    lines: tuple[DeviceLine, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the filters of the device list offer."""

    models: tuple[str, ...]
    firmwares: tuple[str, ...]
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFile:
    """All that the page of a device shows, but for its telemetry."""

    device: Device
    open_cases: tuple[SupportCase, ...]
    closed_cases: int
    episodes: tuple[Episode, ...]  # the newest, open ones first
    spans: tuple[Span, ...]  # of all episodes since the begin of the health strip
    versions: tuple[DeviceEvent, ...]
    connections: tuple[DeviceEvent, ...]
    losses: tuple[LossRow, ...]
    absent_since: datetime | None


async def device_page(session: AsyncSession, wanted: DeviceFilter, *, page: int, size: int) -> DevicePage:
    """Devices with open cases first, the one with most on top, then the others by name.

    These are two queries, since few devices have open cases: neither has to sort all devices.
    """
    opened = (
        select(SupportCase.device, func.count().label("cases"))
        .where(SupportCase.state.in_(OPEN_STATES))
        .group_by(SupportCase.device)
        .subquery("opened")
    )
    fits, first = _fits(wanted), (page - 1) * size
    having = select(Device, opened.c.cases).join(opened, opened.c.device == Device.device).where(*fits)
    with_cases = await session.scalar(select(func.count()).select_from(having.subquery())) or 0
    total = with_cases
    lines: list[DeviceLine] = []
    if first < with_cases:
        some = having.order_by(opened.c.cases.desc(), Device.device).limit(size).offset(first)
        lines += [DeviceLine(device=row[0], open_cases=row[1]) for row in await session.execute(some)]
    if wanted.state != WITH_CASES:
        total = await session.scalar(select(func.count()).select_from(Device).where(*fits)) or 0
        others = select(Device).where(*fits, Device.device.not_in(select(opened.c.device))).order_by(Device.device)
        rest = others.limit(size - len(lines)).offset(max(0, first - with_cases))
        lines += [DeviceLine(device=row, open_cases=0) for row in await session.scalars(rest)]
    return DevicePage(lines=tuple(lines), total=total)


def _fits(wanted: DeviceFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Device.device != SYSTEM_DEVICE]
    same = [
        (Device.hardware, wanted.model),
        (Device.firmware, wanted.firmware),
        (Device.customer, wanted.customer),
        (Device.site, wanted.site),
    ]
    conditions += [column == value for column, value in same if value]
    if wanted.tag:
        conditions.append(Device.tags.contains(f" {wanted.tag.lower()} ", autoescape=True))
    if wanted.state and wanted.state != WITH_CASES:
        conditions.append(Device.presence == wanted.state)
    places = (
        Device.device, Device.customer, Device.site, Device.hardware, Device.firmware, Device.owner, Device.tags,
    )  # fmt: skip
    conditions += [
        or_(*(place.icontains(word, autoescape=True) for place in places)) for word in wanted.text.split()[:8]
    ]
    return conditions


async def choices(session: AsyncSession, most: int) -> Choices:
    """The models, firmware versions and sites that devices have."""
    found = []
    for column in (Device.hardware, Device.firmware, Device.site):
        query = select(column).where(column != "").distinct().order_by(column).limit(most)
        found.append(tuple(await session.scalars(query)))
    return Choices(models=found[0], firmwares=found[1], sites=found[2])


async def all_devices(session: AsyncSession) -> Sequence[Device]:
    """Every device, by name, for the export."""
    return (await session.scalars(select(Device).where(Device.device != SYSTEM_DEVICE).order_by(Device.device))).all()


async def device_file(session: AsyncSession, name: str, since: datetime, most: int) -> DeviceFile | None:
    """Everything about one device since a date; None if there is no such device."""
    device = await session.get(Device, name)
    if device is None or device.device == SYSTEM_DEVICE:
        return None
    cases = (
        select(SupportCase)
        .where(SupportCase.device == name, SupportCase.state.in_(OPEN_STATES))
        .order_by(SupportCase.number.desc())
        .limit(most)
    )
    closed = select(func.count()).where(SupportCase.device == name, SupportCase.state.in_(DONE))
    is_over = case((Episode.resolved_at.is_(None), 0), else_=1)
    episodes = select(Episode).where(Episode.device == name).order_by(is_over, Episode.last_at.desc()).limit(most)
    events = (
        select(DeviceEvent).where(DeviceEvent.device == name).order_by(DeviceEvent.at.desc(), DeviceEvent.id.desc())
    )
    losses = select(LossRow).where(LossRow.device == name).order_by(LossRow.declared_at.desc()).limit(most)
    absent = select(func.min(Episode.first_at)).where(
        Episode.device == name, Episode.fault == ABSENT, Episode.resolved_at.is_(None)
    )
    return DeviceFile(
        device=device,
        open_cases=tuple(await session.scalars(cases)),
        closed_cases=await session.scalar(closed) or 0,
        episodes=tuple(await session.scalars(episodes)),
        spans=await _spans(session, name, since),
        versions=tuple(await session.scalars(events.where(DeviceEvent.kind != CONNECTION).limit(most))),
        connections=tuple(await session.scalars(events.where(DeviceEvent.kind == CONNECTION).limit(most))),
        losses=tuple(await session.scalars(losses)),
        absent_since=await session.scalar(absent),
    )


async def _spans(session: AsyncSession, name: str, since: datetime) -> tuple[Span, ...]:
    over = and_(Episode.resolved_at.is_not(None), Episode.resolved_at < since)
    columns = (
        Episode.first_at, Episode.resolved_at, Episode.severity, Episode.fault, Episode.component, Episode.case_number,
    )  # fmt: skip
    query = select(*columns).where(Episode.device == name, ~over).order_by(Episode.first_at).limit(5000)
    return tuple(
        Span(start=row[0], end=row[1], severity=row[2], fault=row[3], component=row[4], case_number=row[5])
        for row in await session.execute(query)
    )


async def last_telemetry(session: AsyncSession, name: str) -> tuple[datetime, bytes] | None:
    """The newest batch of a device, which says what series there are; None if there is none."""
    query = (
        select(TelemetryChunk.start_at, TelemetryChunk.body)
        .where(TelemetryChunk.device == name)
        .order_by(TelemetryChunk.start_at.desc())
        .limit(1)
    )
    row = (await session.execute(query)).one_or_none()
    return (row[0], row[1]) if row else None


async def telemetry(
    session: AsyncSession, name: str, begin: datetime, end: datetime, most: int
) -> list[tuple[datetime, bytes]]:
    """The batches that begin in a period, and the one before; the newest `most` of them, in order of time."""
    longest = timedelta(hours=24)
    query = (
        select(TelemetryChunk.start_at, TelemetryChunk.body)
        .where(
            TelemetryChunk.device == name, TelemetryChunk.start_at >= begin - longest, TelemetryChunk.start_at <= end
        )
        .order_by(TelemetryChunk.start_at.desc())
        .limit(most)
    )
    rows = [(row[0], row[1]) for row in await session.execute(query)]
    before = next((place for place, (at, _) in enumerate(rows) if at < begin), len(rows))
    return rows[: before + 1][::-1]
