"""Evidence: the parts of an evidence pack are kept as the device froze them, and announced in the case's timeline."""

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.case_writer import SYSTEM, CaseWriter
from cloud.case_service.rows import case_of
from cloud.cases.cases import EntryKind, TimelineEntry
from cloud.cases.episodes import dated
from cloud.store import tables
from edge_agent.protocol.records import Evidence, EvidencePart


async def store_evidence(
    session: AsyncSession, writer: CaseWriter, device: str, evidence: Evidence, received_at: datetime
) -> None:
    """Keep a part of an evidence pack. Raises ValueError if this part is there already, with another content."""
    known = await session.get(tables.EvidenceRow, (evidence.evidence_id, evidence.part))
    body = evidence.model_dump(mode="json")
    if known and (known.device, known.body) != (device, body):
        raise ValueError(f"evidence {evidence.evidence_id} {evidence.part}: is stored already, with another content")
    if known:
        return
    since_detection = timedelta(seconds=max(0.0, evidence.at.uptime_s - evidence.detected_uptime_s))
    row = tables.EvidenceRow(
        evidence_id=evidence.evidence_id,
        part=evidence.part,
        device=device,
        finding_id=evidence.finding_id,
        detected_at=dated(evidence.at, received_at) - since_detection,
        intact=evidence.digest() == evidence.sha256,
        body=body,
        received_at=received_at,
    )
    session.add(row)
    await _announce(session, writer, row)


async def _announce(session: AsyncSession, writer: CaseWriter, row: tables.EvidenceRow) -> None:
    query = (
        select(tables.SupportCase)
        .join(tables.Episode, tables.Episode.case_number == tables.SupportCase.number)
        .where(tables.Episode.finding_id == row.finding_id)
        .limit(1)
    )
    case = await session.scalar(query)
    if case is None:
        return
    when = "before" if row.part == EvidencePart.BEFORE else "after"
    text = f"Evidence received: the recording from {when} the detection."
    if not row.intact:
        text += " Its checksum does not match its content: do not rely on it."
    entry = TimelineEntry(EntryKind.EVIDENCE, text, {"evidence_id": row.evidence_id, "part": row.part})
    await writer.save(session, case, (case_of(case), (entry,)), SYSTEM, row.received_at)
