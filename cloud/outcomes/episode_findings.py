"""The findings of an episode, as its device sent them."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.episodes import dated
from cloud.store.tables import Episode, RecordRow
from edge_agent.protocol.records import Finding, read_record
from edge_agent.protocol.topics import Lane

MOST_RECORDS = 5000  # of a device from the beginning of the episode


async def findings_of(session: AsyncSession, episode: Episode) -> list[tuple[Finding, datetime]]:
    """Return the findings of an episode with their arrival, in the order in which they were applied."""
    query = (
        select(RecordRow.body, RecordRow.received_at)
        .where(
            RecordRow.device == episode.device,
            RecordRow.lane == Lane.FINDINGS,
            RecordRow.kind == "finding",
            RecordRow.received_at >= episode.first_at,
        )
        .order_by(RecordRow.received_at, RecordRow.seq)
        .limit(MOST_RECORDS)
    )
    found = []
    for body, received_at in await session.execute(query):
        if (body.get("fault"), body.get("component")) != (episode.fault, episode.component):
            continue
        finding = read_record(body)
        if isinstance(finding, Finding) and episode.first_at <= dated(finding.at, received_at) <= episode.last_at:
            found.append((finding, received_at))
    return found
