"""Evidence snapshots: all that a case was opened on, frozen, and readable after telemetry has expired.

What flows in: the timelines of cases by rising id, and the passing of time. What flows out: one snapshot for each fault
of a case. The transaction that opens a case writes nothing for it, so that it stays short in a storm: `tick` finds what
is new within a second, builds it, again when more evidence has come, and for the last time after SEALED_AFTER.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.cases import EntryKind
from cloud.outcomes import snapshot_body
from cloud.outcomes.snapshot_body import Body
from cloud.store.outcome_tables import CONNECTION, DeviceEvent, EvidenceSnapshot
from cloud.store.tables import CaseEntry, Device, Episode, EvidenceRow, SupportCase, TelemetryChunk
from edge_agent.protocol import telemetry

DUE, BUILT, SEALED = "due", "built", "sealed"
SEALED_AFTER = timedelta(minutes=15)  # the second half comes within minutes, or the device is gone
LOOKED_BACK = timedelta(days=7)  # for restarts, versions and other faults
PEER_TELEMETRY = timedelta(hours=2)  # a frugal batch covers an hour
READ_AGAIN = timedelta(days=1)  # of the timelines after a start
MOST_ENTRIES = 500  # in one tick
MOST_PEERS, MOST_CHUNKS, MOST_METRICS, AT_ONCE = 10, 130, 4, 20
_JOINS = frozenset({EntryKind.OPENED, EntryKind.FINDING, EntryKind.BREAKOUT, EntryKind.REOPENED})


class EvidenceSnapshots:
    """Makes the snapshots of one database. It remembers how far it has read, and after a start reads a day again."""

    def __init__(self) -> None:
        self._read_up_to: int | None = None  # id of a timeline entry

    async def tick(self, session: AsyncSession, now: datetime) -> bool:
        """Note the snapshots that are due, and build them; return whether there was one."""
        await self._read_timelines(session, now)
        over = (EvidenceSnapshot.state == BUILT) & (EvidenceSnapshot.frozen_at <= now - SEALED_AFTER)
        query = (
            select(EvidenceSnapshot)
            .where((EvidenceSnapshot.state == DUE) | over)
            .order_by(EvidenceSnapshot.id)
            .limit(AT_ONCE)
        )
        rows = (await session.scalars(query)).all()
        for row in rows:
            row.body = await _body(session, row)
            row.sha256 = snapshot_body.digest(row.body)
            row.state = SEALED if now >= row.frozen_at + SEALED_AFTER else BUILT
        return bool(rows)

    async def _read_timelines(self, session: AsyncSession, now: datetime) -> None:
        """Note what is due: a fault that is new in a case, and a snapshot whose evidence has come."""
        if self._read_up_to is None:
            recent = select(func.min(CaseEntry.id)).where(CaseEntry.at >= now - READ_AGAIN)
            self._read_up_to = (await session.scalar(recent) or 1) - 1
        kinds = (*_JOINS, EntryKind.EVIDENCE)
        query = (
            select(CaseEntry)
            .where(CaseEntry.id > self._read_up_to, CaseEntry.kind.in_(kinds))
            .order_by(CaseEntry.id)
            .limit(MOST_ENTRIES)
        )
        entries = (await session.scalars(query)).all()
        if not entries:
            return
        noted = await _noted(session, {entry.case_number for entry in entries})
        for entry in entries:
            key = (entry.case_number, entry.detail.get("fault", ""), entry.detail.get("component", ""))
            if entry.kind in _JOINS and entry.detail.get("fault") and key not in noted:
                noted.add(key)
                session.add(_due(*key, entry.at))
        with_evidence = {entry.case_number for entry in entries if entry.kind == EntryKind.EVIDENCE}
        again = update(EvidenceSnapshot).where(
            EvidenceSnapshot.case_number.in_(with_evidence), EvidenceSnapshot.state == BUILT
        )
        await session.execute(again.values(state=DUE))
        self._read_up_to = entries[-1].id


async def _noted(session: AsyncSession, numbers: set[int]) -> set[tuple[int, str, str]]:
    query = select(EvidenceSnapshot.case_number, EvidenceSnapshot.fault, EvidenceSnapshot.component)
    rows = await session.execute(query.where(EvidenceSnapshot.case_number.in_(numbers)))
    return {(number, fault, component) for number, fault, component in rows}


def _due(number: int, fault: str, component: str, now: datetime) -> EvidenceSnapshot:
    return EvidenceSnapshot(
        case_number=number, fault=fault, component=component, frozen_at=now, state=DUE, body={}, sha256=""
    )


async def _body(session: AsyncSession, row: EvidenceSnapshot) -> Body:
    device = await session.get_one(Device, (await session.get_one(SupportCase, row.case_number)).device)
    episode = await _episode(session, row)
    if episode is None:
        return {"case": row.case_number, "frozen_at": row.frozen_at.timestamp()}
    recorded = snapshot_body.recorded_part(await _evidence(session, episode))
    return {
        "case": row.case_number,
        "frozen_at": row.frozen_at.timestamp(),
        "device": snapshot_body.device_part(device),
        "finding": snapshot_body.finding_part(episode),
        **recorded,
        "happened": await _happened(session, episode, row.frozen_at),
        "peers": await _peers(session, device, metrics_of(episode, recorded), row.frozen_at),
    }


def metrics_of(episode: Episode, recorded: Body) -> list[str]:
    """Return the metrics that a finding is about: that of its limit, those that carry it, those that were evaluated."""
    limited = [recorded["threshold"]["metric"]] if recorded["threshold"] else []
    carrying = [carrier["metric"] for carrier in episode.carriers]
    evaluated = [one["metric"] for one in recorded["series"] if one["role"] == "judged"]
    return list(dict.fromkeys([*limited, *carrying, *evaluated]))[:MOST_METRICS]


async def _episode(session: AsyncSession, row: EvidenceSnapshot) -> Episode | None:
    """The first episode of this fault in the case: the one that the case was opened on."""
    query = select(Episode).where(
        Episode.case_number == row.case_number, Episode.fault == row.fault, Episode.component == row.component
    )
    return (await session.scalars(query.order_by(Episode.id).limit(1))).first()


async def _evidence(session: AsyncSession, episode: Episode) -> Sequence[EvidenceRow]:
    if episode.evidence_id is None:
        return ()
    query = select(EvidenceRow).where(EvidenceRow.evidence_id == episode.evidence_id)
    return (await session.scalars(query.order_by(EvidenceRow.part.desc()))).all()  # before, then after


async def _happened(session: AsyncSession, episode: Episode, frozen_at: datetime) -> list[Body]:
    since = episode.first_at - LOOKED_BACK
    events = select(DeviceEvent).where(
        DeviceEvent.device == episode.device,
        DeviceEvent.at >= since,
        DeviceEvent.at <= frozen_at,
        DeviceEvent.kind != CONNECTION,
    )
    others = select(Episode).where(
        Episode.device == episode.device,
        Episode.id != episode.id,
        Episode.first_at >= since,
        Episode.first_at <= frozen_at,
    )
    return snapshot_body.happened_part(
        await session.scalars(events.order_by(DeviceEvent.at.desc()).limit(100)),
        await session.scalars(others.order_by(Episode.first_at.desc()).limit(100)),
    )


async def _peers(session: AsyncSession, device: Device, metrics: Sequence[str], frozen_at: datetime) -> list[Body]:
    """Return the same metrics on devices of the same model, in the hours before."""
    if not device.hardware or not metrics:
        return []
    alike = (
        select(Device.device)
        .where(Device.hardware == device.hardware, Device.device != device.device)
        .order_by(Device.last_seen.desc(), Device.device)
        .limit(MOST_PEERS)
    )
    lines: list[Body] = []
    for peer in (await session.scalars(alike)).all():
        chunks = (
            select(TelemetryChunk.body)
            .where(
                TelemetryChunk.device == peer,
                TelemetryChunk.start_at >= frozen_at - PEER_TELEMETRY,
                TelemetryChunk.start_at <= frozen_at,
            )
            .order_by(TelemetryChunk.start_at.desc())
            .limit(MOST_CHUNKS)
        )
        batches = [telemetry.unpack(chunk) for chunk in await session.scalars(chunks)]
        lines += snapshot_body.peer_lines(peer, batches, metrics)
    return lines
