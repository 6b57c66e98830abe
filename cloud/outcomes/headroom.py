"""Headroom: how little was left of the limited quantity of a trend, as far as its device has sent it.

What flows in: an episode. What flows out: the lowest headroom, in the unit of the metric, out of its findings, their
updates and both halves of the evidence; None for a fault without a limit, or if nothing is known of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.expectations import SeenFault
from cloud.store.tables import Episode, EvidenceRow, RecordRow
from edge_agent.protocol.faults import FAULTS, DetectorKind
from edge_agent.protocol.topics import Lane

MOST_RECORDS = 5000
RISING = frozenset({"fd.leak"})  # their limit is not zero; without evidence it is not known


async def seen_faults(session: AsyncSession, case_number: int) -> tuple[SeenFault, ...]:
    """Return the faults of a case, each with the lowest headroom that was seen."""
    episodes = await session.scalars(
        select(Episode).where(Episode.case_number == case_number).order_by(Episode.id.desc())
    )
    found: dict[tuple[str, str], SeenFault] = {}
    for episode in episodes:
        left = await _least_left(session, episode) if _is_trend(episode.fault) else None
        one = SeenFault(fault=episode.fault, component=episode.component, least_left=left)
        before = found.get((one.fault, one.component))
        if before is None or (left is not None and (before.least_left is None or left < before.least_left)):
            found[one.fault, one.component] = one
    return tuple(found.values())


def _is_trend(fault: str) -> bool:
    known = FAULTS.get(fault)
    return known is not None and known.detector is DetectorKind.TREND


async def _least_left(session: AsyncSession, episode: Episode) -> float | None:
    findings = await _findings(session, episode)
    ids = {episode.finding_id, *(str(body.get("finding_id")) for body in findings)}
    query = select(EvidenceRow.body).where(EvidenceRow.device == episode.device, EvidenceRow.finding_id.in_(ids))
    packs = list(await session.scalars(query))
    limit = next((pack["threshold"] for pack in packs if pack.get("threshold")), None)
    if limit is None and episode.fault in RISING:
        return None
    metric, at = (str(limit["metric"]), float(limit["value"])) if limit else (None, 0.0)
    carriers = [*episode.carriers, *(carrier for body in findings for carrier in body.get("carriers", ()))]
    values = [*_of_carriers(carriers, metric), *_of_packs(packs, metric)]
    return min((abs(at - value) for value in values), default=None)


async def _findings(session: AsyncSession, episode: Episode) -> Sequence[dict[str, Any]]:
    """Return the findings of an episode as they came. None is older than its first."""
    query = (
        select(RecordRow.body)
        .where(
            RecordRow.device == episode.device,
            RecordRow.lane == Lane.FINDINGS,
            RecordRow.kind == "finding",
            RecordRow.received_at >= episode.first_at,
        )
        .order_by(RecordRow.received_at.desc())
        .limit(MOST_RECORDS)
    )
    key = (episode.fault, episode.component)
    return [body for body in await session.scalars(query) if (body.get("fault"), body.get("component")) == key]


def _of_carriers(carriers: Iterable[dict[str, Any]], metric: str | None) -> Iterator[float]:
    return (float(one["value"]) for one in carriers if metric in (None, one["metric"]))


def _of_packs(packs: Iterable[dict[str, Any]], metric: str | None) -> Iterator[float]:
    for pack in packs:
        for series in pack.get("series", ()):
            if metric is not None and series["metric"] == metric:
                yield from (float(value) for value in series["values"] if value is not None)
