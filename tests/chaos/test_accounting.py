"""The found are only worth something if they can be out of balance."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cloud.store.database import Database
from cloud.store.tables import LossRow, RecordRow, TelemetryChunk
from edge_agent.outbox.schema import Kind, kind_of
from edge_agent.protocol.topics import Lane
from tests.chaos.accounting import account, account_for_nothing_stored
from tests.chaos.recording_outbox import canonical

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = "0" * 32


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """A database with two findings (numbers 1 and 2), one batch (1), and batches 3 to 4 declared lost."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}"

    async def fill() -> None:
        database = Database(url)
        await database.migrate()
        of = {"device": "pump-07", "stream": STREAM, "received_at": NOW}
        async with database.begin() as session:
            for seq in (1, 2):
                session.add(RecordRow(**of, lane="findings", seq=seq, kind="finding", body={"b": 1, "a": seq}))
            session.add(TelemetryChunk(**of, seq=1, start_at=NOW, body=b"batch"))
            for lane in ("telemetry", "findings"):
                session.add(
                    LossRow(
                        device="pump-07", lane=lane, stream=STREAM, first_seq=3, last_seq=4, reason="", declared_at=NOW
                    )
                )
        await database.close()

    asyncio.run(fill())
    return url


def a_log(folder: Path, *lines: tuple[Lane, int, bytes]) -> dict[str, Path]:
    path = folder / "accepted"
    entries = [
        json.dumps([lane, STREAM, seq, kind_of(lane, body), hashlib.sha256(body).hexdigest()])
        for lane, seq, body in lines
    ]
    path.write_text("\n".join(entries) + "\n")
    return {"pump-07": path}


def finding(number: int) -> bytes:
    return canonical({"a": number, "b": 1})


def test_a_stored_or_declared_record_is_not_missing(tmp_path: Path, database_url: str) -> None:
    found = account(
        a_log(
            tmp_path,
            (Lane.FINDINGS, 1, finding(1)),
            (Lane.FINDINGS, 2, finding(2)),
            (Lane.TELEMETRY, 1, b"batch"),
            (Lane.TELEMETRY, 3, b"lost"),
        ),
        database_url,
    )
    assert (found.accepted.total(), found.stored, found.missing, found.duplicates) == (4, 3, (), 0)
    assert found.declared_lost == {Kind.TELEMETRY: 1}


@pytest.mark.parametrize(
    ("lane", "seq", "body"),
    [
        (Lane.FINDINGS, 5, finding(5)),  # never received
        (Lane.FINDINGS, 1, finding(9)),  # its number holds another record
        (Lane.FINDINGS, 3, finding(3)),  # a finding may not be lost, even if declared
        (Lane.TELEMETRY, 2, b"lost, but not declared"),
    ],
)
def test_a_record_neither_stored_nor_declared_is_missing(
    tmp_path: Path, database_url: str, lane: Lane, seq: int, body: bytes
) -> None:
    found = account(a_log(tmp_path, (lane, seq, body)), database_url)
    assert found.missing == (("pump-07", lane, STREAM, seq),)


def test_evidence_that_was_declared_lost_is_missing_unless_it_may_be_lost(tmp_path: Path, database_url: str) -> None:
    log = a_log(tmp_path, (Lane.FINDINGS, 3, b'{"kind":"evidence"}'), (Lane.FINDINGS, 4, finding(4)))
    assert len(account(log, database_url).missing) == 2
    found = account(log, database_url, frozenset({Kind.EVIDENCE}))
    assert found.declared_lost == {Kind.EVIDENCE: 1}
    assert found.missing == (("pump-07", Lane.FINDINGS, STREAM, 4),), "a finding may never be lost"


def test_evidence_without_its_row_is_missing(tmp_path: Path, database_url: str) -> None:
    body = {"kind": "evidence", "evidence_id": "e", "part": "before"}
    digest = hashlib.sha256(canonical(body)).hexdigest()

    async def refer() -> None:
        database = Database(database_url)
        async with database.begin() as session:
            of = {"device": "pump-07", "lane": "findings", "stream": STREAM, "received_at": NOW}
            session.add(RecordRow(**of, seq=6, kind="evidence", body=body | {"content_sha256": digest}))
        await database.close()

    asyncio.run(refer())
    assert account(a_log(tmp_path, (Lane.FINDINGS, 6, canonical(body))), database_url).missing


@pytest.mark.parametrize("order", [(1, 9), (9, 1)])
def test_a_number_given_to_two_records_is_missing(tmp_path: Path, database_url: str, order: tuple[int, int]) -> None:
    lines = [(Lane.FINDINGS, 1, finding(number)) for number in order]
    assert account(a_log(tmp_path, *lines), database_url).missing == (("pump-07", Lane.FINDINGS, STREAM, 1),)


def test_a_record_under_two_numbers_is_a_duplicate(tmp_path: Path, database_url: str) -> None:
    async def again() -> None:
        database = Database(database_url)
        async with database.begin() as session:
            body = {"b": 1, "a": 1}
            of = {"device": "pump-07", "lane": "findings", "stream": STREAM, "received_at": NOW}
            session.add(RecordRow(**of, seq=7, kind="finding", body=body))
        await database.close()

    asyncio.run(again())
    assert account(a_log(tmp_path, (Lane.FINDINGS, 1, finding(1))), database_url).duplicates == 1


def test_a_device_without_a_log_accepted_nothing(tmp_path: Path, database_url: str) -> None:
    assert account({"pump-07": tmp_path / "never started"}, database_url).accepted.total() == 0


def test_without_a_database_every_accepted_record_is_missing(tmp_path: Path) -> None:
    log = a_log(tmp_path, (Lane.FINDINGS, 1, finding(1)), (Lane.TELEMETRY, 1, b"batch"))
    found = account_for_nothing_stored(log)
    assert (found.accepted.total(), found.stored, len(found.missing)) == (2, 0, 2)
