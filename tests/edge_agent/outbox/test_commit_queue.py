"""The commit queue: records in memory while the store is not writable, within a limit."""

from pathlib import Path

import pytest

from edge_agent.outbox import Outbox
from edge_agent.outbox.commit_queue import MAX_RECORDS, CommitQueue
from edge_agent.outbox.loss_table import STORE_UNWRITABLE
from edge_agent.protocol import records
from edge_agent.protocol.topics import Lane
from tests.builders import a_chunk, a_finding, an_evidence, an_id, an_instant


def test_above_the_limit_evidence_is_dropped_first_then_the_oldest_findings_and_all_are_declared(
    tmp_path: Path,
) -> None:
    queue, outbox = CommitQueue(), Outbox(tmp_path / "outbox.db")
    findings = [a_finding(finding_id=an_id(number)) for number in range(MAX_RECORDS + 2)]
    queue.add([an_evidence(), *findings])
    queue.enforce_limit()
    assert len(queue) == MAX_RECORDS
    queue.commit(outbox, an_instant(), declare_losses=False)
    kept = [body for _, body in outbox.after(Lane.FINDINGS, 0, 1000)]
    assert kept == [records.encode(finding) for finding in findings[2:]]
    (lost,) = outbox.undeclared()
    assert (lost.lane, lost.last_seq - lost.first_seq + 1, lost.cause) == (Lane.FINDINGS, 3, STORE_UNWRITABLE)
    outbox.close()


def test_telemetry_above_the_limit_is_dropped_oldest_first_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue, outbox = CommitQueue(), Outbox(tmp_path / "outbox.db")
    batches = [a_chunk(60.0 * number) for number in range(MAX_RECORDS + 2)]
    for batch in batches:
        queue.add_telemetry([batch])
        queue.enforce_limit()
    queue.commit(outbox, an_instant(), declare_losses=False)
    assert [body for _, body in outbox.after(Lane.TELEMETRY, 0, 1000)] == batches[2:]
    assert caplog.text.count("are dropped and declared lost") == 1
    assert sum(lost.last_seq - lost.first_seq + 1 for lost in outbox.undeclared()) == 2
    outbox.close()


def test_losses_are_declared_in_the_same_transaction_and_once(tmp_path: Path) -> None:
    queue, outbox = CommitQueue(), Outbox(tmp_path / "outbox.db")
    outbox.put([], dropped={Lane.FINDINGS: 2, Lane.TELEMETRY: 0})
    queue.add([a_finding()])
    for _ in range(2):
        queue.commit(outbox, an_instant(), declare_losses=True)
    assert [b'"kind":"loss"' in body for _, body in outbox.after(Lane.FINDINGS, 2, 10)] == [False, True]
    assert outbox.undeclared() == []
    outbox.close()
