"""The memory fallback: an agent whose disk can't be written when it starts, on a real file system of 8 MiB."""

import json
import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from edge_agent import assembly
from edge_agent.config import ConfigError, State
from edge_agent.outbox import Outbox
from edge_agent.outbox.detector_state import LEARNED_STATE
from edge_agent.outbox.loss_table import QUOTA_EXCEEDED, UNCLEAN_STOP
from edge_agent.outbox.memory_fallback import MAX_MEMORY_BYTES, RETRY_EVERY_S, MemoryFallback
from edge_agent.outbox.migration import MIGRATED, migrated_up_to
from edge_agent.outbox.quota import Quota
from edge_agent.protocol import records
from edge_agent.protocol.records import Finding
from edge_agent.protocol.topics import Lane
from firmware_stubs.faults import DiskFilling
from tests.brokers import ScriptedBroker
from tests.builders import a_chunk, a_finding, a_loss
from tests.clocks import HandClock
from tests.disks import SmallDisk, small_disk
from tests.edge_agent.outbox.test_outbox import crash
from tests.edge_agent.test_complaints import an_agent, connected, eventually, pending_records, run_for
from tests.edge_agent.uplink.test_uplink import all_away


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as mounted:
        yield mounted


def opened(disk: SmallDisk) -> Outbox:
    """Open the outbox as the agent's command line does."""
    return assembly._outbox(disk.path, State())


def waiting(outbox: Outbox, lane: Lane) -> list[bytes]:
    return [body for _, body in outbox.after(lane, 0, 1000)]


def test_on_a_full_disk_records_are_kept_in_memory_until_there_is_space(disk: SmallDisk) -> None:
    disk.fill()
    fallback = opened(disk)
    assert isinstance(fallback, MemoryFallback)
    fallback.put([b"one", b"two"], {"a": b"open"})
    fallback.buffer(b"a batch")
    assert fallback.open_on_disk(0.0) is None
    disk.free()
    assert fallback.open_on_disk(RETRY_EVERY_S / 2) is None, "a full disk is not tried at each sample"
    on_disk = fallback.open_on_disk(RETRY_EVERY_S)
    assert on_disk is not None
    crash(on_disk)
    again = opened(disk)
    assert not isinstance(again, MemoryFallback)
    assert waiting(again, Lane.FINDINGS) == [b"one", b"two"]
    assert waiting(again, Lane.TELEMETRY) == [b"a batch"]
    assert again.open_findings() == {"a": b"open"}
    assert again.undeclared() == []
    again.close()


def test_the_state_of_a_store_on_a_read_only_disk_is_known_and_resumed(disk: SmallDisk) -> None:
    before = opened(disk)
    before.put([b"before"], {"a": b"open", "b": b"open too"})
    before.save_learned_state(LEARNED_STATE, b"state")
    before.buffer(b"lost with the power")
    crash(before)
    disk.remount("ro")
    fallback = opened(disk)
    assert isinstance(fallback, MemoryFallback)
    assert fallback.open_findings() == {"a": b"open", "b": b"open too"}
    assert fallback.learned_state(LEARNED_STATE) == b"state"
    fallback.put([b"cleared"], {"a": None})
    assert fallback.open_on_disk(0.0) is None
    disk.remount("rw")
    on_disk = fallback.open_on_disk(RETRY_EVERY_S)
    assert on_disk is not None
    assert waiting(on_disk, Lane.FINDINGS) == [b"before", b"cleared"]
    assert on_disk.open_findings() == {"b": b"open too"}
    assert [lost.cause for lost in on_disk.undeclared()] == [UNCLEAN_STOP]
    on_disk.close()


def test_losses_in_memory_are_declared_by_the_store(disk: SmallDisk) -> None:
    disk.fill()
    fallback = MemoryFallback(disk.path / "outbox.db", Quota(budget_bytes=1 << 20, headroom_bytes=0))
    for _ in range(40):
        fallback.buffer(bytes(60_000))
        fallback.flush()
    stream = fallback.stream(Lane.TELEMETRY)
    (lost,) = fallback.undeclared()
    fallback.put([records.encode(a_loss(lost.first_seq, lost.last_seq, stream=stream))], declared=[lost])
    disk.free()
    on_disk = fallback.open_on_disk(0.0)
    assert on_disk is not None
    assert [(one.lane, one.stream, one.first_seq, one.cause) for one in on_disk.undeclared()] == [
        (Lane.TELEMETRY, stream, 1, QUOTA_EXCEEDED)
    ]
    assert waiting(on_disk, Lane.FINDINGS) == [], "the record that declared it belongs to the stream in memory"
    assert len(waiting(on_disk, Lane.TELEMETRY)) + lost.last_seq == 40
    on_disk.close()


def test_a_store_that_can_not_be_written_yet_is_released_with_its_files(disk: SmallDisk) -> None:
    disk.fill()
    fallback = opened(disk)
    assert isinstance(fallback, MemoryFallback)
    for _ in range(30):
        fallback.put([bytes(100_000)])
    disk.free()
    (disk.path / "less").write_bytes(bytes(6_500_000))  # space for a store, none for the records
    files = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        assert fallback.open_on_disk(number * RETRY_EVERY_S) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    (disk.path / "less").unlink()
    on_disk = fallback.open_on_disk(5 * RETRY_EVERY_S)
    assert on_disk is not None
    assert len(waiting(on_disk, Lane.FINDINGS)) == 30
    on_disk.close()


def test_open_findings_in_the_log_are_read_on_a_read_only_disk(tmp_path: Path, disk: SmallDisk) -> None:
    """The power was cut before the log was moved into the file, and the disk is read-only at the next start."""
    live_one = Outbox(tmp_path / "outbox.db")
    live_one.put([b"before"], {"a": b"open"})
    for part in tmp_path.glob("outbox.db*"):
        shutil.copy(part, disk.path)
    live_one.close()
    disk.remount("ro")
    fallback = opened(disk)
    assert isinstance(fallback, MemoryFallback)
    assert fallback.open_findings() == {"a": b"open"}
    fallback.put([], {"a": None})
    disk.remount("rw")
    on_disk = fallback.open_on_disk(0.0)
    assert on_disk is not None
    assert on_disk.open_findings() == {}
    on_disk.close()


def test_a_store_that_could_not_be_read_keeps_its_learned_state(disk: SmallDisk) -> None:
    before = opened(disk)
    before.put([], {"a": b"open"})
    before.save_learned_state(LEARNED_STATE, b"in months")
    before.close()
    store = disk.path / "outbox.db"
    store.rename(disk.path / "away")
    disk.remount("ro")
    fallback = opened(disk)
    fallback.put([], {"b": b"open too"})
    fallback.save_learned_state(LEARNED_STATE, b"in hours")
    assert isinstance(fallback, MemoryFallback)
    disk.remount("rw")
    (disk.path / "away").rename(store)
    on_disk = fallback.open_on_disk(0.0)
    assert on_disk is not None
    assert on_disk.learned_state(LEARNED_STATE) == b"in months"
    assert on_disk.open_findings() == {"a": b"open", "b": b"open too"}
    on_disk.close()


def test_a_damaged_store_is_reported_although_the_first_move_fails(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk.path / "outbox.db").write_bytes(b"garbage" * 1000)
    disk.remount("ro")
    fallback = opened(disk)
    assert isinstance(fallback, MemoryFallback)
    disk.remount("rw")
    with monkeypatch.context() as failing:
        failing.setattr(Outbox, "migrate_from", fails)
        assert fallback.open_on_disk(0.0) is None
    on_disk = fallback.open_on_disk(RETRY_EVERY_S)
    assert on_disk is not None
    assert on_disk.damage is not None
    on_disk.close()


def fails(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_a_migration_committed_despite_an_error_is_done_once(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit reached the disk, and its confirmation failed."""
    disk.fill()
    fallback = opened(disk)
    assert isinstance(fallback, MemoryFallback)
    fallback.put([b"one"])
    disk.free()
    with monkeypatch.context() as failing:
        migrate_from = Outbox.migrate_from

        def doubtful(self: Outbox, other: Outbox, known_open: Iterable[str] | None) -> None:
            migrate_from(self, other, known_open)
            fails()

        failing.setattr(Outbox, "migrate_from", doubtful)
        assert fallback.open_on_disk(0.0) is None
    fallback.put([b"two"])
    fallback.buffer(b"a batch")
    on_disk = fallback.open_on_disk(RETRY_EVERY_S)
    assert on_disk is not None
    assert waiting(on_disk, Lane.FINDINGS) == [b"one", b"two"]
    assert waiting(on_disk, Lane.TELEMETRY) == [b"a batch"]
    on_disk.close()


def test_a_second_fallback_migrates_like_the_first(disk: SmallDisk) -> None:
    for body in (b"one", b"two"):
        disk.remount("ro")
        fallback = opened(disk)
        assert isinstance(fallback, MemoryFallback)
        fallback.put([body])
        disk.remount("rw")
        on_disk = fallback.open_on_disk(0.0)
        assert on_disk is not None
        marker = on_disk.learned_state(MIGRATED)
        assert migrated_up_to(marker, fallback.stream(Lane.FINDINGS))[Lane.FINDINGS] == 1
        on_disk.close()
    again = opened(disk)
    assert waiting(again, Lane.FINDINGS) == [b"one", b"two"]
    again.close()


def test_the_fallback_keeps_to_its_memory_limit(disk: SmallDisk) -> None:
    disk.fill()
    fallback = opened(disk)
    for _ in range(2 * MAX_MEMORY_BYTES // 100_000):
        fallback.put([bytes(100_000)])
    assert fallback._store.used_bytes() <= MAX_MEMORY_BYTES
    fallback.close()


def test_a_folder_that_is_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match="name a folder that the agent may write to"):
        assembly._outbox(tmp_path / "state" / "here", State())


def test_an_agent_on_a_full_disk_logs_it_and_migrates_when_there_is_space(
    disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    clock = HandClock(1000.0)
    disk.fill()
    outbox = opened(disk)
    with ScriptedBroker() as broker:
        agent = an_agent(outbox, clock, DiskFilling(start_s=1100, lasts_s=3600), port=broker.port)
        with connected(agent):
            run_for(agent, clock, 2400.0)
            eventually(agent, lambda: any(b"disk.filling" in body for body in broker.taken[Lane.FINDINGS].values()))
            eventually(agent, lambda: not agent.delivery.uplink.has_unacknowledged)
            disk.free()
            run_for(agent, clock, 2 * RETRY_EVERY_S)
            assert not isinstance(agent.delivery.outbox, MemoryFallback)
            agent.delivery.outbox.put([records.encode(a_finding())])
            agent.delivery.outbox.buffer(a_chunk())
            eventually(agent, lambda: all_away(agent.delivery.outbox))
    assert list(agent.delivery.outbox.open_findings()), "the findings opened in memory are open in the store"
    assert caplog.text.count("the records from memory are on disk") == 1
    agent.delivery.outbox.close()


def test_an_agent_without_a_link_migrates_all_its_records(disk: SmallDisk) -> None:
    clock = HandClock(1000.0)
    disk.fill()
    agent = an_agent(opened(disk), clock, DiskFilling(start_s=1100, lasts_s=3600))
    run_for(agent, clock, 2400.0)
    before = pending_records(agent.delivery.outbox)
    assert before
    disk.free()
    run_for(agent, clock, 2 * RETRY_EVERY_S)
    crash(agent.delivery.outbox)
    again = opened(disk)
    assert pending_records(again)[: len(before)] == before
    again.close()


def test_records_in_flight_are_acknowledged_before_the_migration(disk: SmallDisk) -> None:
    """They would get second numbers otherwise, and be stored in the cloud twice."""
    clock = HandClock(1000.0)
    disk.fill()
    outbox = opened(disk)
    with ScriptedBroker(acknowledges=False) as broker:
        agent = an_agent(outbox, clock, port=broker.port)
        with connected(agent):
            outbox.put([records.encode(a_finding())])
            eventually(agent, lambda: bool(broker.taken[Lane.FINDINGS]))
            disk.free()
            run_for(agent, clock, 2 * RETRY_EVERY_S)
            assert agent.delivery.outbox is outbox
            broker.acknowledges = True
            outbox.put([records.encode(a_finding())])
            eventually(agent, lambda: not agent.delivery.uplink.has_unacknowledged)
            run_for(agent, clock, RETRY_EVERY_S)
            assert agent.delivery.outbox is not outbox
    assert waiting(agent.delivery.outbox, Lane.FINDINGS) == []
    agent.delivery.outbox.close()


def test_an_agent_that_stops_tries_once_more_to_migrate(disk: SmallDisk) -> None:
    clock, stop = HandClock(1000.0), threading.Event()
    disk.fill()
    agent = an_agent(opened(disk), clock, DiskFilling(start_s=1100, lasts_s=3600))
    run_for(agent, clock, 2400.0)
    findings = [one.finding_id for one in pending_records(agent.delivery.outbox) if isinstance(one, Finding)]
    disk.free()
    stop.set()
    agent.run(stop)
    again = opened(disk)
    assert [json.loads(body)["finding_id"] for body in waiting(again, Lane.FINDINGS) if b"phase" in body] == findings
    assert again.learned_state(LEARNED_STATE)
    again.close()
