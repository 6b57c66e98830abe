"""Stores of the commit before the packages: the present code opens them, loses nothing and uses no number twice."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly import Scorer
from edge_agent.outbox import Outbox
from edge_agent.outbox.detector_state import LEARNED_STATE
from edge_agent.outbox.loss_table import STORE_DAMAGED, STORE_FELL_BACK
from edge_agent.protocol.records import Finding, Phase, read_record
from edge_agent.protocol.topics import Lane
from firmware_stubs.faults import DiskFilling
from tests.clocks import HandClock
from tests.edge_agent.outbox.test_outbox import STORES, crash
from tests.edge_agent.test_agent import kinds, run_until

EARLIER = "60e2039"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The store and its sequence file, as the earlier version left them on a clean stop."""
    for suffix in ("", ".ledger"):
        shutil.copy(STORES / f"{EARLIER}.sqlite{suffix}", tmp_path / f"outbox.db{suffix}")
    return tmp_path / "outbox.db"


@pytest.fixture
def content() -> dict[str, Any]:
    """What the earlier version read from its store."""
    content: dict[str, Any] = json.loads((STORES / f"{EARLIER}.json").read_text())
    return content


def digest(body: bytes | None) -> str:
    return hashlib.sha256(body or b"").hexdigest()


def read(outbox: Outbox) -> dict[str, Any]:
    """Read all that an outbox holds, in the form of the earlier version."""
    return {
        "streams": {lane: outbox.stream(lane) for lane in Lane},
        "base_seq": {lane: outbox.base_seq(lane) for lane in Lane},
        "last_seq": {lane: outbox.last_seq(lane) for lane in Lane},
        "records": {lane: [[seq, digest(body)] for seq, body in outbox.after(lane, 0, 1000)] for lane in Lane},
        "declarations": [seq for seq, _ in outbox.losses_after(0, 100)],
        "undeclared": [[one.lane, one.stream, one.first_seq, one.last_seq, one.cause] for one in outbox.undeclared()],
        "quarantined": [list(one) for one in outbox.quarantined()],
        "open_findings": {finding_id: digest(body) for finding_id, body in outbox.open_findings().items()},
        "learned_state": digest(outbox.learned_state(LEARNED_STATE)),
    }


def test_an_earlier_store_is_opened_with_all_its_content(path: Path, content: dict[str, Any]) -> None:
    kinds_of = {"evidence", "finding", "loss"}
    outbox = Outbox(path)
    assert outbox.damage is None
    assert read(outbox) == content
    assert {json.loads(body)["kind"] for _, body in outbox.after(Lane.FINDINGS, 0, 1000)} == kinds_of
    for part in ("telemetry", "findings"):
        assert content["records"][part]
    for part in ("declarations", "undeclared", "quarantined", "open_findings"):
        assert content[part]
    outbox.close()


def test_an_earlier_store_goes_through_a_crash_and_uses_no_number_twice(path: Path, content: dict[str, Any]) -> None:
    outbox = Outbox(path)
    outbox.put([b"new"])
    outbox.buffer(b"new")
    outbox.flush()
    crash(outbox)
    again = Outbox(path)
    for lane in Lane:
        earlier = content["last_seq"][lane]
        assert again.stream(lane) == content["streams"][lane]
        assert again.after(lane, earlier, 10) == [(earlier + 1, b"new")]
    again.put([b"newer"])
    again.buffer(b"newer")
    for lane in Lane:
        earlier = content["last_seq"][lane]
        assert again.last_seq(lane) > earlier + 1
        assert [[seq, digest(body)] for seq, body in again.after(lane, 0, 1000) if seq <= earlier] == (
            content["records"][lane]
        )
    again.close()


def test_the_sequence_file_of_an_earlier_store_still_counts_when_the_store_is_damaged(
    path: Path, content: dict[str, Any]
) -> None:
    path.write_bytes(b"x" * 20_000)
    outbox = Outbox(path)
    lost = {(one.lane, one.stream, one.first_seq, one.last_seq, one.cause) for one in outbox.undeclared()}
    assert lost == {(lane, content["streams"][lane], 1, content["last_seq"][lane], STORE_DAMAGED) for lane in Lane}
    outbox.close()


def test_an_earlier_store_that_lost_its_last_commit_uses_no_number_of_it_again(
    path: Path, content: dict[str, Any]
) -> None:
    """A record was committed and may have been sent; then the card returned to the content before."""
    earlier = path.read_bytes()
    outbox = Outbox(path)
    outbox.put([b"sent"])
    crash(outbox)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(earlier)
    again = Outbox(path)
    seq = content["last_seq"]["findings"] + 1
    assert (seq, STORE_FELL_BACK) in [(one.first_seq, one.cause) for one in again.undeclared()]
    again.put([b"new"])
    assert again.after(Lane.FINDINGS, seq, 10) == [(seq + 1, b"new")]
    again.close()


def test_the_pipeline_uses_all_learned_state_of_an_earlier_store(path: Path) -> None:
    outbox = Outbox(path)
    state = json.loads(outbox.learned_state(LEARNED_STATE) or b"{}")
    pipeline = Pipeline(period_s=1.0, horizon_s=3600.0, scorer=Scorer())
    assert set(state) == set(pipeline.export_state())
    assert pipeline.restore_state(state) == []
    outbox.close()


def test_an_agent_continues_the_open_findings_of_an_earlier_store(path: Path, content: dict[str, Any]) -> None:
    clock = HandClock(400.0)
    after = run_until(path.parent, clock, 500, DiskFilling(start_s=10, lasts_s=600))
    assert set(after.open_findings()) == set(content["open_findings"])
    records = [read_record(json.loads(body)) for _, body in after.after(Lane.FINDINGS, 0, 1000)]
    ids = [one.finding_id for one in records if isinstance(one, Finding) and one.phase is Phase.OPEN]
    assert not set(ids) & set(content["open_findings"]), "it was opened and acknowledged before"
    assert kinds(after)
    after.close()
