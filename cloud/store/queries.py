"""The reads of the console and the API, each with a name and a purpose.

What flows in: a session and what is asked. What flows out: rows, or small frozen values made of rows. Each
function sends a fixed number of statements, however many rows there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from cloud.cases.cases import DONE
from cloud.store.case_filter import CaseFilter as CaseFilter
from cloud.store.case_filter import conditions
from cloud.store.streams import NOT_SEEN
from cloud.store.tables import (
    SYSTEM_DEVICE,
    CaseEntry,
    CaseState,
    Device,
    Episode,
    EpisodeState,
    EvidenceRow,
    LossRow,
    Notice,
    SupportCase,
)
from edge_agent.protocol.faults import FAULTS, Severity

_Order = ColumnElement[Any] | InstrumentedAttribute[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """A case as a list shows it, with its device and its episodes, most urgent first."""

    case: SupportCase
    device: Device
    episodes: tuple[Episode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossLine:
    """Records of one lane that a device has declared lost for one reason: how many at most, and when it last did."""

    lane: str
    records: int
    reason: str
    declared_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    """All that the page of one case shows."""

    case: SupportCase
    device: Device
    episodes: tuple[Episode, ...]
    entries: tuple[CaseEntry, ...]
    evidence: dict[str, tuple[EvidenceRow, ...]] = field(default_factory=dict)  # by id: before, then after
    others: tuple[SupportCase, ...] = ()  # the same device's newest other cases
    losses: tuple[LossLine, ...] = ()  # of the device, the newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabs:
    """How many cases stand behind each tab of the inbox."""

    open: int
    mine: int
    informed: int  # handed over to somebody else, and not closed yet
    closed: int
    notices: int  # unread, of cases that were handed over


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """What is being watched: how many devices, how many of them online, and when one last spoke."""

    devices: int
    online: int
    last_seen: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLine:
    """A device as the list shows it, with the number of its open cases."""

    device: Device
    open_cases: int


async def inbox(session: AsyncSession, wanted: CaseFilter, limit: int, skip: int = 0) -> tuple[CaseLine, ...]:
    """What a list of cases shows, in the order in which they should be taken (see `_by_urgency`).

    The order is found from the few columns that it needs, and then the rows of one page are read.
    """
    order = _by_closing() if wanted.states <= DONE else _by_urgency()
    numbers = select(SupportCase.number).where(*conditions(wanted)).order_by(*order).limit(limit).offset(skip)
    found = list(await session.scalars(numbers))
    rows = {row[0].number: (row[0], row[1]) for row in await session.execute(_of_numbers(found))}
    episodes = await _episodes_of(session, found)
    return tuple(
        CaseLine(case=rows[number][0], device=rows[number][1], episodes=tuple(episodes.get(number, ())))
        for number in found
    )


async def count(session: AsyncSession, wanted: CaseFilter) -> int:
    """How many cases fit, to say so when a list is cut off."""
    return await session.scalar(select(func.count()).select_from(SupportCase).where(*conditions(wanted))) or 0


async def tabs(session: AsyncSession, me: str) -> Tabs:
    """The counts of the inbox's tabs, in one statement, each from an index."""
    is_open = SupportCase.state.in_(CaseFilter().states)
    counts = (
        select(func.count(SupportCase.number)).where(condition).scalar_subquery()
        for condition in (
            is_open,
            is_open & (SupportCase.owner == me),
            is_open & (SupportCase.first_owner == me),
            SupportCase.state == CaseState.CLOSED,
        )
    )
    unread = select(func.count(Notice.id)).where(Notice.account == me, Notice.read_at.is_(None)).scalar_subquery()
    row = (await session.execute(select(*counts, unread))).one()
    return Tabs(open=row[0], mine=row[1], informed=row[2], closed=row[3], notices=row[4])


async def fleet_status(session: AsyncSession) -> FleetStatus:
    """What the inbox says is being watched."""
    query = select(func.count(), func.count().filter(Device.presence == "online"), func.max(Device.last_seen)).where(
        Device.device != SYSTEM_DEVICE, Device.presence != NOT_SEEN
    )
    row = (await session.execute(query)).one()
    return FleetStatus(devices=row[0], online=row[1], last_seen=row[2])


async def case_file(session: AsyncSession, number: int) -> CaseFile | None:
    """Everything about one case; None if there is no such case."""
    row = (await session.execute(_joined().where(SupportCase.number == number))).one_or_none()
    if row is None:
        return None
    found, device = row[0], row[1]
    episodes = (await _episodes_of(session, [number])).get(number, [])
    entries = await session.scalars(select(CaseEntry).where(CaseEntry.case_number == number).order_by(CaseEntry.id))
    others = await session.scalars(
        select(SupportCase)
        .where(SupportCase.device == found.device, SupportCase.number != number)
        .order_by(SupportCase.number.desc())
        .limit(5)
    )
    return CaseFile(
        case=found,
        device=device,
        episodes=tuple(episodes),
        entries=tuple(entries),
        evidence=await _evidence_of(session, [e.evidence_id for e in episodes if e.evidence_id]),
        others=tuple(others),
        losses=await _losses_of(session, found.device),
    )


async def _losses_of(session: AsyncSession, device: str) -> tuple[LossLine, ...]:
    """What a device has declared lost, by lane and reason."""
    lost, newest = func.sum(LossRow.last_seq - LossRow.first_seq + 1), func.max(LossRow.declared_at)
    query = (
        select(LossRow.lane, lost, LossRow.reason, newest)
        .where(LossRow.device == device)
        .group_by(LossRow.lane, LossRow.reason)
        .order_by(newest.desc())
        .limit(5)
    )
    return tuple(
        LossLine(lane=lane, records=int(records), reason=reason, declared_at=at)
        for lane, records, reason, at in await session.execute(query)
    )


async def evidence(session: AsyncSession, evidence_id: str) -> tuple[EvidenceRow, ...]:
    """Both halves of one evidence pack, the one from before the detection first; empty if unknown."""
    return (await _evidence_of(session, [evidence_id])).get(evidence_id, ())


async def evidence_before(session: AsyncSession, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The bodies that sparklines are drawn from: the halves from before the detection, by evidence id."""
    query = select(EvidenceRow.evidence_id, EvidenceRow.body).where(
        EvidenceRow.evidence_id.in_(ids), EvidenceRow.part == "before"
    )
    return {row[0]: row[1] for row in await session.execute(query)}


async def devices(session: AsyncSession) -> tuple[DeviceLine, ...]:
    """All devices with the number of their open cases: those with cases first, then by name."""
    opened = func.count(SupportCase.number)
    query = (
        select(Device, opened)
        .outerjoin(SupportCase, and_(SupportCase.device == Device.device, SupportCase.state.not_in(DONE)))
        .where(Device.device != SYSTEM_DEVICE)
        .group_by(Device.device)
        .order_by(case((opened > 0, 0), else_=1), Device.device)
    )
    return tuple(DeviceLine(device=row[0], open_cases=row[1]) for row in await session.execute(query))


async def losses(session: AsyncSession, limit: int) -> tuple[LossRow, ...]:
    """What devices have declared lost, newest first."""
    query = select(LossRow).order_by(LossRow.declared_at.desc(), LossRow.first_seq.desc()).limit(limit)
    return tuple(await session.scalars(query))


async def last_entry_id(session: AsyncSession) -> int:
    """Where the feed of live pages stands now."""
    return await session.scalar(select(func.max(CaseEntry.id))) or 0


async def cases_changed_since(session: AsyncSession, entry_id: int) -> tuple[int, list[int]]:
    """What live pages must look at again: where the feed stands now, and the cases with newer entries.

    Rows are numbered at insertion and seen at commit; one process makes all changes, so none comes late.
    """
    query = (
        select(CaseEntry.case_number, func.max(CaseEntry.id))
        .where(CaseEntry.id > entry_id)
        .group_by(CaseEntry.case_number)
    )
    rows = (await session.execute(query)).all()
    return max((row[1] for row in rows), default=entry_id), sorted(row[0] for row in rows)


def _of_numbers(numbers: Sequence[int]) -> "Select[SupportCase, Device]":
    return _joined().where(SupportCase.number.in_(numbers))


def _joined() -> "Select[SupportCase, Device]":
    return select(SupportCase, Device).join(Device, Device.device == SupportCase.device)


def _by_urgency() -> tuple[_Order, ...]:
    """Most urgent first, and the newest first among equals.

    Severity decides first. Within one severity the case whose impact comes soonest is on top, and one whose
    impact has passed stays above it: its customer may be noticing now. Cases without a time to impact follow:
    nothing about them gets worse at a known hour. Among those the newest is on top, as its trail is warm.
    """
    severity = case({s.value: s.rank for s in Severity}, value=SupportCase.severity, else_=len(Severity))
    untimed = case((SupportCase.impact_at.is_(None), 1), else_=0)
    return severity, untimed, SupportCase.impact_at, SupportCase.opened_at.desc(), SupportCase.number.desc()


def _by_closing() -> tuple[_Order, ...]:
    """What was done last comes first."""
    return SupportCase.closed_at.desc(), SupportCase.number.desc()


async def _episodes_of(session: AsyncSession, numbers: Sequence[int]) -> dict[int, list[Episode]]:
    """The episodes of many cases in one statement; within a case: unresolved, severe and soon ones first."""
    by_case: dict[int, list[Episode]] = {}
    query = select(Episode).where(Episode.case_number.in_(numbers)).order_by(Episode.id)
    for episode in sorted(await session.scalars(query), key=_leading):
        if episode.case_number is not None:
            by_case.setdefault(episode.case_number, []).append(episode)
    return by_case


def _leading(episode: Episode) -> tuple[bool, int, bool, float, bool, int]:
    impact = episode.impact_at.timestamp() if episode.impact_at else 0.0
    severity = Severity(episode.severity).rank
    resolved = episode.state == EpisodeState.RESOLVED
    return resolved, severity, episode.impact_at is None, impact, episode.fault not in FAULTS, episode.id


async def _evidence_of(session: AsyncSession, ids: Sequence[str]) -> dict[str, tuple[EvidenceRow, ...]]:
    """The evidence of many episodes in one statement."""
    query = select(EvidenceRow).where(EvidenceRow.evidence_id.in_(ids)).order_by(EvidenceRow.part.desc())
    packs: dict[str, tuple[EvidenceRow, ...]] = {}
    for row in await session.scalars(query):
        packs[row.evidence_id] = (*packs.get(row.evidence_id, ()), row)
    return packs
