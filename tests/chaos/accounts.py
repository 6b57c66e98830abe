"""The accounts: what the agents had accepted, against what stands in the cloud's database.

What flows in: ledgers (one a device, see witness.py) and the database. What flows out: a Balance.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from cloud.store.database import Database
from cloud.store.tables import EvidenceRow, LossRow, RecordRow, TelemetryChunk
from edge_agent.outbox.schema import Kind
from edge_agent.protocol.topics import Lane
from tests.chaos.witness import canonical

Number = tuple[str, str, str, int]  # device, lane, stream, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Every accepted record is stored, or of a class that may be lost and declared lost, or it is missing.

    A number that was given to two records counts as missing: one of them is.
    `duplicates` are records that stand in the database under more than one number.
    """

    accepted: Counter[Kind]
    stored: int
    declared_lost: Counter[Kind]
    missing: tuple[Number, ...]
    duplicates: int


def balance(
    ledgers: Mapping[str, Path], database_url: str, may_be_lost: frozenset[Kind] = frozenset({Kind.TELEMETRY})
) -> Balance:
    """Compare all ledgers with the database."""
    stored, lost = asyncio.run(_read(database_url))
    lines = {line for device, path in ledgers.items() for line in _ledger(device, path)}
    times = Counter(number for number, _, _ in lines)
    kinds = {number: kind for number, kind, _ in lines}
    there = {number for number, _, digest in lines if times[number] == 1 and stored.get(number) == digest}
    declared = {
        one for one in kinds.keys() - there if times[one] == 1 and kinds[one] in may_be_lost and _is_lost(one, lost)
    }
    contents = Counter((number[0], digest) for number, digest in stored.items())
    return Balance(
        accepted=Counter(kinds.values()),
        stored=len(there),
        declared_lost=Counter(kinds[one] for one in declared),
        missing=tuple(sorted(kinds.keys() - there - declared)),
        duplicates=sum(count - 1 for count in contents.values()),
    )


def _ledger(device: str, path: Path) -> Iterable[tuple[Number, Kind, str]]:
    for line in path.read_text().splitlines():
        lane, stream, seq, kind, digest = json.loads(line)
        yield (device, lane, stream, seq), Kind(kind), digest


async def _read(database_url: str) -> tuple[dict[Number, str], list[tuple[str, str, str, int, int]]]:
    """Return the content's hash of each stored record, and what was declared lost."""
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
            losses = await session.scalars(select(LossRow))
            lost = [(row.device, row.lane, row.stream, row.first_seq, row.last_seq) for row in losses]
    finally:
        await database.close()
    return stored, lost


def _content(body: dict[str, Any], evidence: Container[tuple[str, str]]) -> str:
    """Return the hash of what a device said; an evidence record only refers to what stands in a table of its own."""
    if "content_sha256" not in body:
        return _digest(canonical(body))
    there = (body["evidence_id"], body["part"]) in evidence
    return str(body["content_sha256"]) if there else "its evidence is not there, or not as it was"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is_lost(number: Number, lost: Iterable[tuple[str, str, str, int, int]]) -> bool:
    return any(number[:3] == one[:3] and one[3] <= number[3] <= one[4] for one in lost)
