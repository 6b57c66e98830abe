"""The reads of the figures: facts of cases, how long devices were watched, and which detectors reported.

What flows in: a session and a period. What flows out: values for `cloud.cases.figures`. Each function sends a fixed
number of statements.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.cases import CaseState, EntryKind
from cloud.cases.figures import CaseFacts, Sighting, Watched
from cloud.cases.outcomes import Label, Noticed
from cloud.store.outcome_tables import DeviceEvent, OutcomeRow
from cloud.store.tables import SYSTEM_DEVICE, CaseEntry, Device, Episode, SupportCase

ROWS_AT_ONCE = 500  # between which other requests get their turn


async def case_facts(session: AsyncSession, since: datetime, until: datetime) -> list[CaseFacts]:
    """Return the cases that were opened in a period. A merged one counts as the case that it was merged into."""
    opened = (
        select(Episode.case_number, func.min(Episode.id).label("id"))
        .where(Episode.case_number.is_not(None))
        .group_by(Episode.case_number)
        .subquery("opened")
    )
    outcome = (
        select(OutcomeRow.case_number, func.max(OutcomeRow.id).label("id"))
        .where(OutcomeRow.withdrawn_at.is_(None))
        .group_by(OutcomeRow.case_number)
        .subquery("latest")
    )
    taken = (
        select(CaseEntry.case_number, func.min(CaseEntry.at).label("at"))
        .where(CaseEntry.kind == EntryKind.TAKEN)
        .group_by(CaseEntry.case_number)
        .subquery("taken")
    )
    query = (
        select(
            SupportCase.number,
            SupportCase.opened_at,
            SupportCase.closed_at,
            SupportCase.label,
            Device.hardware,
            Device.site,
            Episode.fault,
            Episode.detector,
            Episode.impact_at,
            OutcomeRow.noticed,
            OutcomeRow.impact_at,
            taken.c.at,
        )
        .join(Device, Device.device == SupportCase.device)
        .join(opened, opened.c.case_number == SupportCase.number)
        .join(Episode, Episode.id == opened.c.id)
        .outerjoin(outcome, outcome.c.case_number == SupportCase.number)
        .outerjoin(OutcomeRow, OutcomeRow.id == outcome.c.id)
        .outerjoin(taken, taken.c.case_number == SupportCase.number)
        .where(
            SupportCase.opened_at >= since,
            SupportCase.opened_at <= until,
            SupportCase.state != CaseState.MERGED,
        )
        .order_by(SupportCase.number)
    )
    facts: list[CaseFacts] = []
    async for rows in (await session.stream(query)).partitions(ROWS_AT_ONCE):
        facts += [_facts(*row) for row in rows]
    return facts


def _facts(  # noqa: PLR0913  the columns of the query above
    number: int,
    opened_at: datetime,
    closed_at: datetime | None,
    label: str | None,
    model: str,
    site: str,
    fault: str,
    detector: dict[str, Any],
    predicted_at: datetime | None,
    noticed: str | None,
    impact_at: datetime | None,
    acknowledged_at: datetime | None,
) -> CaseFacts:
    return CaseFacts(
        number=number,
        fault=fault,
        detector=detector_name(detector),
        model=model,
        site=site,
        opened_at=opened_at,
        acknowledged_at=acknowledged_at,
        closed_at=closed_at,
        label=Label(label) if label else None,
        noticed=Noticed(noticed or Noticed.NOT_ASKED),
        impact_at=impact_at,
        predicted_at=predicted_at,
    )


def detector_name(detector: dict[str, Any]) -> str:
    """Return kind and version of a detector: ``trend trends-3/persistence-1``."""
    return f"{detector.get('judge', 'unknown')} {detector.get('version', '')}".strip()


async def watched(session: AsyncSession, since: datetime, until: datetime) -> list[Watched]:
    """Return for how long each device was watched in the period, apart by the version of its agent.

    The cloud's own pseudo-device is no device of a customer, and counts in no device-week.
    """
    seen = (Device.first_seen <= until) & (Device.last_seen >= since) & (Device.device != SYSTEM_DEVICE)
    devices = (await session.scalars(select(Device).where(seen))).all()
    query = select(DeviceEvent).where(DeviceEvent.kind == "agent", DeviceEvent.at <= until)
    changes: dict[str, list[DeviceEvent]] = {}
    for event in await session.scalars(query.order_by(DeviceEvent.at, DeviceEvent.id)):
        changes.setdefault(event.device, []).append(event)
    return [span for device in devices for span in _spans(device, changes.get(device.device, ()), since, until)]


def _spans(device: Device, changes: Sequence[DeviceEvent], since: datetime, until: datetime) -> Iterable[Watched]:
    start, end = max(since, device.first_seen), min(until, device.last_seen)
    before = next((change.before for change in changes), "")
    agents = [(device.first_seen, before or (changes[0].after if changes else device.agent))]
    agents += [(change.at, change.after) for change in changes]
    for (begins, agent), (ends, _) in pairwise([*agents, (end, "")]):
        if max(begins, start) < min(ends, end):
            yield Watched(
                device=device.device,
                model=device.hardware,
                site=device.site,
                agent=agent,
                start=max(begins, start),
                end=min(ends, end),
            )


async def sightings(session: AsyncSession, since: datetime, until: datetime) -> list[Sighting]:
    """Return which device reported first and last with which detector; episodes without a case count too."""
    kind, version = Episode.detector["judge"].as_string(), Episode.detector["version"].as_string()
    query = (
        select(Episode.device, kind, version, func.min(Episode.first_at), func.max(Episode.first_at))
        .where(Episode.first_at >= since, Episode.first_at <= until)
        .group_by(Episode.device, kind, version)
    )
    found: list[Sighting] = []
    async for rows in (await session.stream(query)).partitions(ROWS_AT_ONCE):
        found += [
            Sighting(
                device=row[0],
                detector=detector_name({"judge": row[1] or "unknown", "version": row[2] or ""}),
                at=row[3],
                until=row[4],
            )
            for row in rows
        ]
    return found
