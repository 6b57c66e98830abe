"""The reads of the fleet overview (what is watched, since when, and what is absent) and of the watch list."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.device_queries import ABSENT
from cloud.store.streams import NOT_SEEN
from cloud.store.tables import SYSTEM_DEVICE, Device, Episode, EpisodeState
from edge_agent.protocol.faults import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLine:
    """The devices of one model."""

    model: str
    devices: int
    online: int
    metrics: int  # series of the device that reports most
    since: datetime  # the first of them was seen
    last_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsentLine:
    """A device that is absent without having announced it."""

    device: Device
    since: datetime
    case_number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """How many devices are where."""

    online: int
    offline: int
    going_down: int
    expected: int
    absent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLine:
    """An episode of the watch list with its device."""

    episode: Episode
    device: Device


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchCount:
    """How many episodes of one fault are on the watch list now, on how many devices."""

    fault: str
    episodes: int
    devices: int


async def models(session: AsyncSession, most: int) -> tuple[ModelLine, ...]:
    """The models that are watched, the one with most devices first."""
    devices = func.count()
    query = (
        select(
            Device.hardware,
            devices,
            func.count().filter(Device.presence == "online"),
            func.max(Device.metrics),
            func.min(Device.first_seen),
            func.max(Device.last_seen),
        )
        .where(Device.device != SYSTEM_DEVICE, Device.presence != NOT_SEEN)
        .group_by(Device.hardware)
        .order_by(devices.desc(), Device.hardware)
        .limit(most)
    )
    return tuple(
        ModelLine(model=row[0], devices=row[1], online=row[2], metrics=row[3], since=row[4], last_seen=row[5])
        for row in await session.execute(query)
    )


async def presence(session: AsyncSession) -> Presence:
    """How many devices are online, offline or absent."""
    query = select(Device.presence, func.count()).where(Device.device != SYSTEM_DEVICE).group_by(Device.presence)
    counts = {row[0]: row[1] for row in await session.execute(query)}
    absent = select(func.count(Episode.device.distinct())).where(*_ABSENT)
    known = {name: counts.get(name, 0) for name in ("online", "offline", "going_down", NOT_SEEN)}
    return Presence(**known, absent=await session.scalar(absent) or 0)


async def absent(session: AsyncSession, most: int) -> tuple[AbsentLine, ...]:
    """The absent devices, the one that has been absent longest first."""
    query = (
        select(Device, Episode.first_at, Episode.case_number)
        .join(Episode, Episode.device == Device.device)
        .where(*_ABSENT)
        .order_by(Episode.first_at)
        .limit(most)
    )
    return tuple(AbsentLine(device=row[0], since=row[1], case_number=row[2]) for row in await session.execute(query))


_OPEN = [state for state in EpisodeState if state is not EpisodeState.RESOLVED]
_ABSENT = (Episode.fault == ABSENT, Episode.state.in_(_OPEN))


async def watched_now(session: AsyncSession, device: str, fault: str, most: int, page: int) -> tuple[WatchLine, ...]:
    """Episodes that began for information and are not over: rising ones first, then the most confident."""
    return await _watch(session, device, fault, (most, (page - 1) * most), over=False)


async def watched_before(session: AsyncSession, device: str, fault: str, most: int) -> tuple[WatchLine, ...]:
    """Episodes that began for information and are over, the last one first."""
    return await _watch(session, device, fault, (most, 0), over=True)


async def _watch(
    session: AsyncSession, device: str, fault: str, part: tuple[int, int], *, over: bool
) -> tuple[WatchLine, ...]:
    order = (
        (Episode.last_at.desc(),)
        if over
        else (Episode.case_number.is_(None), Episode.confidence.desc(), Episode.last_at.desc(), Episode.id)
    )
    query = (
        select(Episode, Device)
        .join(Device, Device.device == Episode.device)
        .where(*_watch_fits(device, fault), Episode.state.in_([EpisodeState.RESOLVED] if over else _OPEN))
        .order_by(*order)
        .limit(part[0])
        .offset(part[1])
    )
    return tuple(WatchLine(episode=row[0], device=row[1]) for row in await session.execute(query))


async def watch_counts(session: AsyncSession, device: str) -> tuple[WatchCount, ...]:
    """What is on the watch list now, by fault."""
    number = func.count()
    query = (
        select(Episode.fault, number, func.count(Episode.device.distinct()))
        .where(*_watch_fits(device, ""), Episode.state.in_(_OPEN))
        .group_by(Episode.fault)
        .order_by(number.desc(), Episode.fault)
    )
    return tuple(WatchCount(fault=row[0], episodes=row[1], devices=row[2]) for row in await session.execute(query))


def _watch_fits(device: str, fault: str) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Episode.first_severity == Severity.INFO]
    if device:
        conditions.append(Episode.device == device)
    if fault:
        conditions.append(Episode.fault == fault)
    return conditions
