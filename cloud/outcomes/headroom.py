"""Headroom: how little was left of the limited quantity of a trend, as far as its device has sent it.

What flows in: an episode. What flows out: the lowest headroom, in the unit of the metric, out of its findings, their
updates and both halves of the evidence; None for a fault without a limit, or if nothing is known of it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.expectations import SeenFault
from cloud.outcomes.episode_findings import findings_of
from cloud.store.tables import Episode, EvidenceRow
from edge_agent.protocol.faults import FAULTS, DetectorKind

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
    findings = [finding for finding, _ in await findings_of(session, episode)]
    ids = {episode.finding_id, *(finding.finding_id for finding in findings)}
    query = select(EvidenceRow.body).where(EvidenceRow.device == episode.device, EvidenceRow.finding_id.in_(ids))
    packs = list(await session.scalars(query))
    limit = next((pack["threshold"] for pack in packs if pack.get("threshold")), None)
    if limit is None and episode.fault in RISING:
        return None
    metric, at = (str(limit["metric"]), float(limit["value"])) if limit else (None, 0.0)
    carriers = [(one["metric"], float(one["value"])) for one in episode.carriers]
    carriers += [(one.metric, one.value) for finding in findings for one in finding.carriers]
    values = [value for name, value in carriers if metric in (None, name)] + list(_of_packs(packs, metric))
    return min((abs(at - value) for value in values), default=None)


def _of_packs(packs: Iterable[dict[str, Any]], metric: str | None) -> Iterator[float]:
    for pack in packs:
        for series in pack.get("series", ()):
            if metric is not None and series["metric"] == metric:
                yield from (float(value) for value in series["values"] if value is not None)
