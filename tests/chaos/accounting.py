"""Account for records: what the outboxes had accepted is compared with the cloud's database.

What flows in: logs of accepted records (one a device, see recording_outbox.py) and the database. What flows out: an
Accounting.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cloud.store.database import Database
from cloud.store.tables import EvidenceRow, LossRow, RecordRow, TelemetryChunk
from edge_agent.outbox.schema import Kind
from edge_agent.protocol.topics import Lane
from tests.chaos.recording_outbox import canonical

Number = tuple[str, str, str, int]  # device, lane, stream, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Every accepted record is stored, or of a class that may be lost and declared lost, or it is missing.

    A number that was given to two records counts as missing, because one of them is.
    `duplicates` are records that the database holds under more than one number.
    """

    accepted: Counter[Kind] = field(default_factory=Counter)
    stored: int = 0
    declared_lost: Counter[Kind] = field(default_factory=Counter)
    missing: tuple[Number, ...] = ()
    duplicates: int = 0


Stored = Mapping[Number, str]  # the hash of each record's content
Losses = Sequence[tuple[str, str, str, int, int]]  # device, lane, stream, first and last number


def account(
    accepted_logs: Mapping[str, Path],
    database_url: str,
    may_be_lost: frozenset[Kind] = frozenset({Kind.TELEMETRY}),
) -> Accounting:
    """Compare the logs of all devices with the database."""
    stored, losses = asyncio.run(_read(database_url))
    return _compare(accepted_logs, stored, losses, may_be_lost)


def account_for_nothing_stored(accepted_logs: Mapping[str, Path]) -> Accounting:
    """Account for the case that the database can't be read: each accepted record is missing."""
    return _compare(accepted_logs, {}, [], frozenset())


def _compare(
    accepted_logs: Mapping[str, Path], stored: Stored, losses: Losses, may_be_lost: frozenset[Kind]
) -> Accounting:
    lines = {line for device, path in accepted_logs.items() for line in _accepted(device, path)}
    times = Counter(number for number, _, _ in lines)
    kinds = {number: kind for number, kind, _ in lines}
    found = {number for number, _, digest in lines if times[number] == 1 and stored.get(number) == digest}
    declared = {
        one for one in kinds.keys() - found if times[one] == 1 and kinds[one] in may_be_lost and _is_lost(one, losses)
    }
    contents = Counter((number[0], digest) for number, digest in stored.items())
    return Accounting(
        accepted=Counter(kinds.values()),
        stored=len(found),
        declared_lost=Counter(kinds[one] for one in declared),
        missing=tuple(sorted(kinds.keys() - found - declared)),
        duplicates=sum(count - 1 for count in contents.values()),
    )


def _accepted(device: str, path: Path) -> Iterator[tuple[Number, Kind, str]]:
    """Yield the records of a log; a device that never started has none."""
    for line in path.read_text().splitlines() if path.exists() else ():
        lane, stream, seq, kind, digest = json.loads(line)
        yield (device, lane, stream, seq), Kind(kind), digest


async def _read(database_url: str) -> tuple[Stored, Losses]:
    """Return the stored records and the declared losses."""
    database = Database(database_url)
    stored: dict[Number, str] = {}
    try:
        async with database.begin() as session:
            intact = select(EvidenceRow.evidence_id, EvidenceRow.part).where(EvidenceRow.intact)
            evidence = {(one, part) for one, part in await session.execute(intact)}
            for row in await session.scalars(select(RecordRow)):
                stored[row.device, row.lane, row.stream, row.seq] = _content(row.body, evidence)
            for chunk in await session.scalars(select(TelemetryChunk)):
                stored[chunk.device, Lane.TELEMETRY, chunk.stream, chunk.seq] = _digest(chunk.body)
            rows = await session.scalars(select(LossRow))
            losses = [(row.device, row.lane, row.stream, row.first_seq, row.last_seq) for row in rows]
    finally:
        await database.close()
    return stored, losses


def _content(body: dict[str, Any], evidence: Container[tuple[str, str]]) -> str:
    """Return the hash of a record; an evidence record refers to a row of the evidence table."""
    if "content_sha256" not in body:
        return _digest(canonical(body))
    is_intact = (body["evidence_id"], body["part"]) in evidence
    return str(body["content_sha256"]) if is_intact else "its evidence is missing or damaged"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_lost(number: Number, losses: Losses) -> bool:
    return any(number[:3] == one[:3] and one[3] <= number[3] <= one[4] for one in losses)
