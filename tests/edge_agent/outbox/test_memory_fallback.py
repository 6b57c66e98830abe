"""The refuge: what an agent does whose disk can't be written when it starts, on a real file system of 8 MiB."""

import json
import logging
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from edge_agent import assembly
from edge_agent.agent import LEARNT
from edge_agent.config import ConfigError, State
from edge_agent.outbox.memory_fallback import IN_MEMORY_BYTES, TRY_EVERY_S, Refuge
from edge_agent.outbox.outbox import NO_ROOM, UNCLEAN, Outbox
from edge_agent.outbox.quota import Room
from edge_agent.protocol import records
from edge_agent.protocol.records import Finding
from edge_agent.protocol.topics import Lane
from firmware_stubs.faults import DiskFilling
from tests.brokers import ScriptedBroker
from tests.builders import a_chunk, a_finding, a_loss
from tests.clocks import HandClock
from tests.disks import SmallDisk, small_disk
from tests.edge_agent.outbox.test_outbox import crash
from tests.edge_agent.test_complaints import an_agent, connected, eventually, live, said
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


def test_where_there_is_no_room_for_a_store_all_is_kept_in_memory_until_there_is(disk: SmallDisk) -> None:
    disk.fill()
    refuge = opened(disk)
    assert isinstance(refuge, Refuge)
    refuge.put([b"one", b"two"], {"a": b"it stands"})
    refuge.hold(b"a batch")
    assert refuge.home(0.0) is None
    disk.free()
    assert refuge.home(TRY_EVERY_S / 2) is None, "a full disk is not tried at every sample"
    home = refuge.home(TRY_EVERY_S)
    assert home is not None
    crash(home)
    again = opened(disk)
    assert not isinstance(again, Refuge)
    assert waiting(again, Lane.FINDINGS) == [b"one", b"two"]
    assert waiting(again, Lane.TELEMETRY) == [b"a batch"]
    assert again.standing() == {"a": b"it stands"}
    assert again.undeclared() == []
    again.close()


def test_a_store_on_a_disk_that_went_read_only_is_remembered_and_taken_up_again(disk: SmallDisk) -> None:
    before = opened(disk)
    before.put([b"before"], {"a": b"stood", "b": b"stood too"})
    before.learn(LEARNT, b"much")
    before.hold(b"lost with the power")
    crash(before)
    disk.remount("ro")
    refuge = opened(disk)
    assert isinstance(refuge, Refuge)
    assert refuge.standing() == {"a": b"stood", "b": b"stood too"}
    assert refuge.learnt(LEARNT) == b"much"
    refuge.put([b"cleared"], {"a": None})
    assert refuge.home(0.0) is None
    disk.remount("rw")
    home = refuge.home(TRY_EVERY_S)
    assert home is not None
    assert waiting(home, Lane.FINDINGS) == [b"before", b"cleared"]
    assert home.standing() == {"b": b"stood too"}
    assert [gone.cause for gone in home.undeclared()] == [UNCLEAN]
    home.close()


def test_what_was_lost_in_memory_is_declared_by_the_store(disk: SmallDisk) -> None:
    disk.fill()
    refuge = Refuge(disk.path / "outbox.db", Room(budget_bytes=1 << 20, headroom_bytes=0))
    for _ in range(40):
        refuge.hold(bytes(60_000))
        refuge.flush()
    stream = refuge.stream(Lane.TELEMETRY)
    (gone,) = refuge.undeclared()
    refuge.put([records.encode(a_loss(gone.first_seq, gone.last_seq, stream=stream))], declared=[gone])
    disk.free()
    home = refuge.home(0.0)
    assert home is not None
    assert [(one.lane, one.stream, one.first_seq, one.cause) for one in home.undeclared()] == [
        (Lane.TELEMETRY, stream, 1, NO_ROOM)
    ]
    assert waiting(home, Lane.FINDINGS) == [], "the record that said so belongs to a stream that nobody sends any more"
    assert len(waiting(home, Lane.TELEMETRY)) + gone.last_seq == 40
    home.close()


def test_a_store_that_takes_nothing_yet_is_let_go_of_and_keeps_nothing_open(disk: SmallDisk) -> None:
    disk.fill()
    refuge = opened(disk)
    assert isinstance(refuge, Refuge)
    for _ in range(30):
        refuge.put([bytes(100_000)])
    disk.free()
    (disk.path / "less").write_bytes(bytes(6_500_000))  # room for a store, none for what waits
    files = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        assert refuge.home(number * TRY_EVERY_S) is None
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    (disk.path / "less").unlink()
    home = refuge.home(5 * TRY_EVERY_S)
    assert home is not None
    assert len(waiting(home, Lane.FINDINGS)) == 30
    home.close()


def test_what_stands_in_the_log_only_is_remembered_on_a_read_only_disk(tmp_path: Path, disk: SmallDisk) -> None:
    """The power went before the log was moved into the file, and the disk came back read-only."""
    live_one = Outbox(tmp_path / "outbox.db")
    live_one.put([b"before"], {"a": b"stood"})
    for part in tmp_path.glob("outbox.db*"):
        shutil.copy(part, disk.path)
    live_one.close()
    disk.remount("ro")
    refuge = opened(disk)
    assert isinstance(refuge, Refuge)
    assert refuge.standing() == {"a": b"stood"}
    refuge.put([], {"a": None})
    disk.remount("rw")
    home = refuge.home(0.0)
    assert home is not None
    assert home.standing() == {}
    home.close()


def test_a_store_that_could_not_be_read_keeps_what_it_had_learnt(disk: SmallDisk) -> None:
    before = opened(disk)
    before.put([], {"a": b"stood"})
    before.learn(LEARNT, b"in months")
    before.close()
    store = disk.path / "outbox.db"
    store.rename(disk.path / "away")
    disk.remount("ro")
    refuge = opened(disk)
    refuge.put([], {"b": b"stands"})
    refuge.learn(LEARNT, b"in hours")
    assert isinstance(refuge, Refuge)
    disk.remount("rw")
    (disk.path / "away").rename(store)
    home = refuge.home(0.0)
    assert home is not None
    assert home.learnt(LEARNT) == b"in months"
    assert home.standing() == {"a": b"stood", "b": b"stands"}
    home.close()


def test_a_damaged_store_is_reported_although_the_first_move_fails(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk.path / "outbox.db").write_bytes(b"garbage" * 1000)
    disk.remount("ro")
    refuge = opened(disk)
    assert isinstance(refuge, Refuge)
    disk.remount("rw")
    with monkeypatch.context() as failing:
        failing.setattr(Outbox, "take_over", fails)
        assert refuge.home(0.0) is None
    home = refuge.home(TRY_EVERY_S)
    assert home is not None
    assert home.damage is not None
    home.close()


def fails(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_what_moved_although_the_disk_said_no_moves_once(disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit reached the disk, and its confirmation failed."""
    disk.fill()
    refuge = opened(disk)
    assert isinstance(refuge, Refuge)
    refuge.put([b"one"])
    disk.free()
    with monkeypatch.context() as failing:
        take_over = Outbox.take_over

        def doubtful(self: Outbox, other: Outbox, stood: Iterable[str] | None) -> None:
            take_over(self, other, stood)
            fails()

        failing.setattr(Outbox, "take_over", doubtful)
        assert refuge.home(0.0) is None
    refuge.put([b"two"])
    refuge.hold(b"a batch")
    home = refuge.home(TRY_EVERY_S)
    assert home is not None
    assert waiting(home, Lane.FINDINGS) == [b"one", b"two"]
    assert waiting(home, Lane.TELEMETRY) == [b"a batch"]
    home.close()


def test_a_second_stay_in_memory_moves_home_as_the_first_did(disk: SmallDisk) -> None:
    for body in (b"one", b"two"):
        disk.remount("ro")
        refuge = opened(disk)
        assert isinstance(refuge, Refuge)
        refuge.put([body])
        disk.remount("rw")
        home = refuge.home(0.0)
        assert home is not None
        assert home._moved_from(refuge)[Lane.FINDINGS] == 1
        home.close()
    again = opened(disk)
    assert waiting(again, Lane.FINDINGS) == [b"one", b"two"]
    again.close()


def test_a_refuge_takes_little_memory(disk: SmallDisk) -> None:
    disk.fill()
    refuge = opened(disk)
    for _ in range(2 * IN_MEMORY_BYTES // 100_000):
        refuge.put([bytes(100_000)])
    assert refuge._store.used_bytes() <= IN_MEMORY_BYTES
    refuge.close()


def test_a_folder_that_is_none_is_said_at_once_since_waiting_would_not_help(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match="name a folder that the agent may write to"):
        assembly._outbox(tmp_path / "state" / "here", State())


def test_an_agent_without_a_disk_warns_and_goes_on_with_the_store_when_there_is_room(
    disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    clock = HandClock(1000.0)
    disk.fill()
    outbox = opened(disk)
    with ScriptedBroker() as broker:
        agent = an_agent(outbox, clock, DiskFilling(start_s=1100, lasts_s=3600), port=broker.port)
        with connected(agent):
            live(agent, clock, 2400.0)
            eventually(agent, lambda: any(b"disk.filling" in body for body in broker.taken[Lane.FINDINGS].values()))
            eventually(agent, lambda: not agent._uplink.is_under_way)
            disk.free()
            live(agent, clock, 2 * TRY_EVERY_S)
            assert not isinstance(agent._outbox, Refuge)
            agent._outbox.put([records.encode(a_finding())])
            agent._outbox.hold(a_chunk())
            eventually(agent, lambda: all_away(agent._outbox))
    assert list(agent._outbox.standing()), "what it had found in memory stands in the store"
    assert caplog.text.count("what waited in memory is there") == 1
    agent._outbox.close()


def test_an_agent_whose_link_is_away_moves_all_that_it_has_to_say(disk: SmallDisk) -> None:
    clock = HandClock(1000.0)
    disk.fill()
    agent = an_agent(opened(disk), clock, DiskFilling(start_s=1100, lasts_s=3600))
    live(agent, clock, 2400.0)
    told = said(agent._outbox)
    assert told
    disk.free()
    live(agent, clock, 2 * TRY_EVERY_S)
    crash(agent._outbox)
    again = opened(disk)
    assert said(again)[: len(told)] == told
    again.close()


def test_what_is_under_way_is_acknowledged_before_the_rest_moves(disk: SmallDisk) -> None:
    """It would have two numbers otherwise, and stand in the cloud twice."""
    clock = HandClock(1000.0)
    disk.fill()
    outbox = opened(disk)
    with ScriptedBroker(acknowledges=False) as broker:
        agent = an_agent(outbox, clock, port=broker.port)
        with connected(agent):
            outbox.put([records.encode(a_finding())])
            eventually(agent, lambda: bool(broker.taken[Lane.FINDINGS]))
            disk.free()
            live(agent, clock, 2 * TRY_EVERY_S)
            assert agent._outbox is outbox
            broker.acknowledges = True
            outbox.put([records.encode(a_finding())])
            eventually(agent, lambda: not agent._uplink.is_under_way)
            live(agent, clock, TRY_EVERY_S)
            assert agent._outbox is not outbox
    assert waiting(agent._outbox, Lane.FINDINGS) == []
    agent._outbox.close()


def test_an_agent_that_stops_tries_once_more_to_write_down_what_it_holds(disk: SmallDisk) -> None:
    clock, stop = HandClock(1000.0), threading.Event()
    disk.fill()
    agent = an_agent(opened(disk), clock, DiskFilling(start_s=1100, lasts_s=3600))
    live(agent, clock, 2400.0)
    findings = [one.finding_id for one in said(agent._outbox) if isinstance(one, Finding)]
    disk.free()
    stop.set()
    agent.run(stop)
    again = opened(disk)
    assert [json.loads(body)["finding_id"] for body in waiting(again, Lane.FINDINGS) if b"phase" in body] == findings
    assert again.learnt(LEARNT)
    again.close()
