"""The outbox: it keeps each accepted record until the cloud has it, and never uses a number twice."""

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.outbox import Outbox
from edge_agent.outbox.database import LOG_BYTES, MAX_SET_ASIDE, Store, StoreInUseError
from edge_agent.outbox.loss_table import (
    RECORD_UNREADABLE,
    STORE_DAMAGED,
    STORE_FELL_BACK,
    UNCLEAN_STOP,
    LostRange,
)
from edge_agent.outbox.outbox import RESERVE
from edge_agent.outbox.quota import MIN_BYTES, Quota
from edge_agent.outbox.record_table import MAX_QUARANTINED
from edge_agent.outbox.sequence_file import SLOT
from edge_agent.outbox.write_buffer import LINK_DOWN_S
from edge_agent.protocol import records
from edge_agent.protocol.topics import Lane
from tests.builders import a_finding, a_loss, an_evidence, an_id
from tests.disks import small_disk

Start = Callable[[], Outbox]
STORES = Path(__file__).parents[1] / "stores"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Open the store as a run of the agent does; it is closed after the test at the latest."""
    with ExitStack() as stack:

        def opened() -> Outbox:
            outbox = Outbox(path)
            stack.callback(crash, outbox)
            return outbox

        yield opened


def put_store(path: Path, version: int) -> None:
    """Copy a store of an earlier schema version to `path`."""
    path.parent.mkdir(parents=True)
    shutil.copy(STORES / f"version-{version}.sqlite", path)


def crash(outbox: Outbox) -> None:
    """End it as SIGKILL does: nothing is flushed, the locks are released."""
    outbox.release()


def test_findings_survive_a_crash_in_order(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two"])
    outbox.put([b"three"])
    crash(outbox)
    assert start().after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (2, b"two"), (3, b"three")]


def test_a_record_is_deleted_only_when_the_cloud_has_it(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two", b"three"])
    stream = outbox.stream(Lane.FINDINGS)
    assert outbox.acknowledge(Lane.FINDINGS, stream, 2) == 2
    assert outbox.acknowledge(Lane.FINDINGS, stream, 1) == 0, "an old acknowledgement changes nothing"
    assert outbox.acknowledge(Lane.FINDINGS, "another stream", 3) == 0
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(3, b"three")]
    assert outbox.base_seq(Lane.FINDINGS) == 3


def test_open_findings_are_committed_with_their_records(start: Start) -> None:
    outbox = start()
    outbox.put([b"opened", b"opened too"], {"a": b"finding a", "b": b"finding b"})
    outbox.put([b"cleared"], {"a": None})
    crash(outbox)
    assert start().open_findings() == {"b": b"finding b"}


def test_telemetry_survives_a_clean_stop(start: Start) -> None:
    outbox = start()
    outbox.buffer(b"a")
    outbox.buffer(b"b")
    outbox.close()
    again = start()
    assert again.undeclared() == []
    again.buffer(b"c")
    assert again.after(Lane.TELEMETRY, 0, 10) == [(1, b"a"), (2, b"b"), (3, b"c")]


def test_telemetry_lost_in_a_crash_is_listed_and_its_numbers_are_not_used_again(start: Start) -> None:
    outbox = start()
    outbox.buffer(b"a")
    outbox.buffer(b"b")
    stream = outbox.stream(Lane.TELEMETRY)
    crash(outbox)
    again = start()
    assert again.undeclared() == [LostRange(Lane.TELEMETRY, stream, 1, RESERVE, UNCLEAN_STOP)]
    again.buffer(b"c")
    assert again.after(Lane.TELEMETRY, 0, 10) == [(RESERVE + 1, b"c")]


def test_a_reserved_number_without_a_record_is_listed_as_lost(start: Start) -> None:
    """A batch of telemetry is collected for an hour, under a number that is reserved when it starts."""
    outbox = start()
    outbox.reserve_next(ahead=3)
    outbox.reserve_next(ahead=3)
    stream = outbox.stream(Lane.TELEMETRY)
    crash(outbox)
    again = start()
    assert again.undeclared() == [LostRange(Lane.TELEMETRY, stream, 1, 3, UNCLEAN_STOP)]
    again.reserve_next(ahead=3)
    again.buffer(b"a batch")
    assert again.after(Lane.TELEMETRY, 0, 10) == [(4, b"a batch")]
    again.close()
    assert len(start().undeclared()) == 1, "a clean stop frees the unused numbers"


def test_a_store_opens_and_accepts_findings_on_a_disk_that_has_become_full(tmp_path: Path) -> None:
    """The device has to report a full disk, whether it fills up before or after the start."""
    with small_disk(tmp_path / "disk") as disk:
        path = disk.path / "outbox.db"
        first = Outbox(path)
        first.put([b"before"])
        first.buffer(b"a batch")
        first.close()
        disk.fill()
        second = Outbox(path)
        for _ in range(5):
            second.put([bytes(20_000)], {"a": b"open"})
        crash(second)
        third = Outbox(path)
        third.put([bytes(20_000)])
        assert [len(body) for _, body in third.after(Lane.FINDINGS, 0, 10)] == [6, *[20_000] * 6]
        assert third.after(Lane.TELEMETRY, 0, 10) == [(1, b"a batch")]
        assert third.damage is None
        third.acknowledge(Lane.FINDINGS, third.stream(Lane.FINDINGS), 7)
        disk.free()
        third.put([b"after"])
        third.close()
        again = Outbox(path)
        assert again.after(Lane.FINDINGS, 0, 10) == [(8, b"after")]
        again.close()


def test_the_space_of_the_log_stays_reserved_while_the_store_is_closed(path: Path, start: Start) -> None:
    reserve, wal = path.with_name("outbox.db.reserve"), path.with_name("outbox.db-wal")
    for _ in range(2):
        outbox = start()
        assert wal.stat().st_blocks * 512 >= LOG_BYTES
        assert not reserve.exists()
        outbox.put([b"one"])
        outbox.close()
        assert reserve.stat().st_blocks * 512 >= LOG_BYTES
        assert not wal.exists()
    path.unlink()
    start().put([b"a reserve without its store is no log"])


def test_a_first_start_has_no_gap(start: Start) -> None:
    assert start().undeclared() == []


@pytest.mark.parametrize("content", [b"\0" * 8192, b"not a database at all, but long enough to be looked at" * 40])
def test_a_damaged_store_is_set_aside_and_a_new_stream_starts(path: Path, start: Start, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    outbox = start()
    if content.strip(b"\0"):
        assert outbox.damage is not None
        assert outbox.damage.kept_as.read_bytes() == content
    outbox.put([b"one"])
    assert outbox.after(Lane.FINDINGS, 0, 1) == [(1, b"one")]


def test_a_store_of_a_newer_version_is_set_aside_not_misread(path: Path, start: Start) -> None:
    start().close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert start().damage is not None


actions = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 3)),
        st.tuples(st.just("buffer"), st.integers(1, 3)),
        st.tuples(st.just("ack"), st.integers(0, 20)),
        st.tuples(st.just("ack telemetry"), st.integers(0, 600)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("quarantine"), st.integers(1, 20)),
        st.tuples(st.just("declare"), st.just(0)),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("stop"), st.just(0)),
    ),
    max_size=25,
)


def put(outbox: Outbox, count: int, name: str) -> None:
    outbox.put([f"finding {name}.{part}".encode() for part in range(count)])


def buffer(outbox: Outbox, count: int, name: str) -> None:
    for part in range(count):
        outbox.buffer(f"batch {name}.{part}".encode())


def ack(outbox: Outbox, lane: Lane, up_to: int) -> None:
    outbox.acknowledge(lane, outbox.stream(lane), min(up_to, outbox.last_seq(lane)))


def declare(outbox: Outbox, name: str) -> None:
    lost = outbox.undeclared()
    outbox.put([f"loss {name}.{part}".encode() for part in range(len(lost))], declared=lost)


ACTIONS: dict[str, Callable[[Outbox, int, str], object]] = {
    "put": put,
    "buffer": buffer,
    "ack": lambda outbox, count, _name: ack(outbox, Lane.FINDINGS, count),
    "ack telemetry": lambda outbox, count, _name: ack(outbox, Lane.TELEMETRY, count),
    "flush": lambda outbox, _count, _name: outbox.flush(),
    "quarantine": lambda outbox, count, _name: outbox.quarantine(list(Lane)[count % 2], count, "nobody takes it"),
    "declare": lambda outbox, _count, name: declare(outbox, name),
}


@given(actions)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_number_is_used_once_and_is_stored_or_listed_as_lost(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "outbox.db"
    outbox = Outbox(path)
    bodies: dict[tuple[Lane, int], bytes] = {}
    for index, (action, count) in enumerate(steps):
        if action in ACTIONS:
            ACTIONS[action](outbox, count, f"{index}")
        else:
            crash(outbox) if action == "crash" else outbox.close()
            outbox = Outbox(path)
        for lane in Lane:
            for seq, body in outbox.after(lane, 0, 1000):
                assert bodies.setdefault((lane, seq), body) == body, "a number was used for two records"
            assert accounted(outbox, lane) == set(range(outbox.base_seq(lane), outbox.last_seq(lane) + 1))
    crash(outbox)


def accounted(outbox: Outbox, lane: Lane) -> set[int]:
    """Return the numbers above the last acknowledged one that are stored or lost; never both."""
    stored = {seq for seq, _ in outbox.after(lane, 0, 10_000)}
    rows = outbox._store.db.execute("SELECT first_seq, last_seq FROM lost WHERE lane = ?", (lane,)).fetchall()
    lost = {seq for first, last in rows for seq in range(first, last + 1) if seq >= outbox.base_seq(lane)}
    assert not stored & lost
    return stored | lost


def test_a_store_in_use_by_another_agent_is_not_opened(start: Start) -> None:
    first = start()
    with pytest.raises(StoreInUseError):
        start()
    first.put([b"one"])
    first.close()
    start().close()


def test_without_a_path_it_works_in_memory() -> None:
    outbox = Outbox(None)
    outbox.put([b"one"], {"a": b"finding"})
    outbox.buffer(b"batch")
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one")]
    assert outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), 1) == 1
    outbox.close()


def test_telemetry_is_not_written_while_the_cloud_acknowledges_it(start: Start) -> None:
    outbox = start()
    for minute in range(0, 24 * 60, 15):
        outbox.buffer(b"batch")
        outbox.flush_if_due(minute * 60.0, connected=True)
        outbox.flush_if_due(minute * 60.0 + 1, connected=True)
        outbox.acknowledge(Lane.TELEMETRY, outbox.stream(Lane.TELEMETRY), outbox.last_seq(Lane.TELEMETRY))
        outbox.flush_if_due(minute * 60.0 + 2, connected=True)
    assert written(outbox) == []
    assert outbox.after(Lane.TELEMETRY, 0, 1000) == []


def written(outbox: Outbox) -> list[int]:
    rows = outbox._store.db.execute("SELECT seq FROM record WHERE lane = 'telemetry' ORDER BY seq").fetchall()
    return [seq for (seq,) in rows]


def test_a_power_cut_loses_at_most_one_interval_of_telemetry_and_lists_it(start: Start) -> None:
    """Telemetry is written once when the link is down for a minute, and then at the configured interval."""
    outbox = start()
    outbox.buffer(b"one")
    outbox.flush_if_due(0.0, connected=False)
    outbox.flush_if_due(LINK_DOWN_S - 1, connected=False)
    assert written(outbox) == [], "a short outage causes no write"
    outbox.flush_if_due(LINK_DOWN_S, connected=False)
    assert written(outbox) == [1]
    outbox.buffer(b"two")
    outbox.flush_if_due(LINK_DOWN_S + 1, connected=False)
    outbox.flush_if_due(LINK_DOWN_S + 899, connected=False)
    assert written(outbox) == [1]
    outbox.flush_if_due(LINK_DOWN_S + 901, connected=False)
    assert written(outbox) == [1, 2]
    outbox.buffer(b"three")
    stream = outbox.stream(Lane.TELEMETRY)
    crash(outbox)
    again = start()
    assert again.after(Lane.TELEMETRY, 0, 10) == [(1, b"one"), (2, b"two")]
    assert again.undeclared() == [LostRange(Lane.TELEMETRY, stream, 3, RESERVE, UNCLEAN_STOP)]


def test_telemetry_that_only_the_broker_acknowledges_is_written_at_the_interval(start: Start) -> None:
    outbox = start()
    outbox.buffer(b"one")
    for second in range(0, 901, 60):
        outbox.flush_if_due(float(second), connected=True)
    assert written(outbox) == [1]


def test_a_loss_is_declared_once_and_deleted_when_the_cloud_has_counted_it(start: Start) -> None:
    outbox = start()
    outbox.buffer(b"one")
    crash(outbox)
    outbox = start()
    (lost,) = outbox.undeclared()
    outbox.put([b"the loss"], declared=[lost])
    assert outbox.undeclared() == []
    crash(outbox)
    outbox = start()
    assert outbox.undeclared() == [], "it is declared in the findings lane"
    outbox.acknowledge(Lane.TELEMETRY, lost.stream, lost.last_seq)
    outbox.buffer(b"next")
    assert outbox._store.db.execute("SELECT count(*) FROM lost").fetchone() == (0,)


def test_records_dropped_before_the_outbox_get_numbers_and_are_listed_as_lost(start: Start) -> None:
    outbox = start()
    outbox.put([b"one"])
    outbox.put([b"four"], dropped={Lane.FINDINGS: 2, Lane.TELEMETRY: 3})
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (4, b"four")]
    assert [(one.lane, one.first_seq, one.last_seq) for one in outbox.undeclared()] == [
        (Lane.FINDINGS, 2, 3),
        (Lane.TELEMETRY, 1, 3),
    ]
    outbox.buffer(b"batch")
    assert outbox.after(Lane.TELEMETRY, 0, 10) == [(4, b"batch")]


def test_a_store_that_lost_its_last_commits_uses_no_number_again(path: Path, start: Start) -> None:
    """A card that lies about writes, or a copy of yesterday: the sequence file has the right numbers."""
    outbox = start()
    outbox.put([b"one"])
    crash(outbox)
    yesterday = path.read_bytes()
    outbox = start()
    outbox.put([b"two", b"three"])
    outbox.buffer(b"batch")
    stream = outbox.stream(Lane.FINDINGS)
    crash(outbox)
    path.write_bytes(yesterday)
    again = start()
    lost = [(one.lane, one.first_seq, one.last_seq, one.cause) for one in again.undeclared()]
    assert lost == [(Lane.FINDINGS, 2, 3, STORE_FELL_BACK), (Lane.TELEMETRY, 1, RESERVE, UNCLEAN_STOP)]
    again.put([b"four"])
    assert again.stream(Lane.FINDINGS) == stream
    assert again.after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (4, b"four")]


def test_the_records_of_a_damaged_store_are_declared_from_the_sequence_file(path: Path, start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two"])
    stream = outbox.stream(Lane.FINDINGS)
    outbox.close()
    path.write_bytes(b"x" * 20_000)
    again = start()
    assert again.damage is not None
    assert again.undeclared() == [LostRange(Lane.FINDINGS, stream, 1, 2, STORE_DAMAGED)]
    assert again.stream(Lane.FINDINGS) != stream


def test_a_store_found_damaged_while_it_is_open_is_replaced_by_a_new_one(start: Start) -> None:
    outbox = start()
    outbox.put([b"one"])
    stream = outbox.stream(Lane.FINDINGS)
    outbox.start_new_store("database disk image is malformed")
    assert outbox.damage is not None
    assert outbox.undeclared() == [LostRange(Lane.FINDINGS, stream, 1, 1, STORE_DAMAGED)]
    outbox.put([b"first of a new stream"])
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"first of a new stream")]


@pytest.mark.parametrize("when", ["while it is open", "at the next start", "after its loss was declared"])
def test_after_two_damaged_stores_both_streams_are_kept_until_the_cloud_has_counted_them(
    path: Path, start: Start, when: str
) -> None:
    outbox, streams = start(), []
    for part in range(2):
        outbox.put([b"one"])
        streams.append(outbox.stream(Lane.FINDINGS))
        if part and when == "after its loss was declared":
            outbox.put([b"the loss"], declared=outbox.undeclared())
        if part == 0 or when != "at the next start":
            outbox.start_new_store("database disk image is malformed")
        else:
            crash(outbox)
            path.write_bytes(b"x" * 20_000)
            outbox = start()
    lost = outbox.undeclared()
    assert {one.stream for one in lost} == set(streams)
    outbox.put([b"loss"] * len(lost), declared=lost)
    outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), outbox.last_seq(Lane.FINDINGS))
    outbox.start_new_store("database disk image is malformed")
    assert not {one.stream for one in outbox.undeclared()} & set(streams), "counted once"


def test_records_dropped_in_the_old_stream_take_no_number_of_the_new_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.outbox.write_buffer.MAX_BYTES", 10)
    outbox = start()
    outbox.buffer(b"fits")
    outbox._store.db.execute("PRAGMA query_only = 1")
    outbox.buffer(b"does not fit")
    stream = outbox.stream(Lane.TELEMETRY)
    outbox.start_new_store("database disk image is malformed")
    outbox.buffer(b"new")
    outbox.flush()
    assert {one.stream for one in outbox.undeclared()} == {stream}


def test_an_acknowledgement_of_numbers_never_given_out_renumbers_the_pending_records(start: Start) -> None:
    """Restored from a backup with its sequence file: pending records get numbers above those of the cloud."""
    outbox = start()
    outbox.put([b"one", b"two"])
    outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), 7)
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(8, b"one"), (9, b"two")]
    assert outbox.base_seq(Lane.FINDINGS) == 8


def test_the_losses_of_an_old_copy_are_renumbered_above_those_of_the_cloud(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two", b"three"])
    outbox.quarantine(Lane.FINDINGS, 2, "nobody takes it")
    outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), 7)
    assert [(one.first_seq, one.last_seq, one.cause) for one in outbox.undeclared()] == [(8, 8, "nobody takes it")]
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(9, b"one"), (10, b"three")]
    assert outbox.last_seq(Lane.FINDINGS) == 10


@pytest.mark.parametrize("up_to", [2**41, 2**63 - 2])
def test_an_impossible_acknowledgement_changes_nothing(start: Start, up_to: int) -> None:
    outbox = start()
    outbox.put([b"one"])
    with pytest.raises(ValueError, match="no device"):
        outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), up_to)
    outbox.put([b"two"])
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (2, b"two")]


def test_a_record_whose_bytes_changed_on_the_card_is_quarantined_and_the_lane_continues(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two", b"three"])
    outbox._store.db.execute("UPDATE record SET body = x'00' WHERE seq = 2")
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (3, b"three")]
    assert [(one.first_seq, one.last_seq) for one in outbox.undeclared()] == [(2, 2)]
    assert outbox.quarantined() == [(Lane.FINDINGS, 2, RECORD_UNREADABLE)]


def a_declared_loss(outbox: Outbox) -> tuple[LostRange, int]:
    """Lose a record and declare it; return the loss, and the number of the record that declares it."""
    outbox.put([b"one"])
    outbox.quarantine(Lane.FINDINGS, outbox.last_seq(Lane.FINDINGS), "nobody takes it")
    (lost,) = outbox.undeclared()
    outbox.put([records.encode(a_loss(lost.first_seq, lost.last_seq, lane=lost.lane))], declared=[lost])
    return lost, outbox.last_seq(Lane.FINDINGS)


@pytest.mark.parametrize("read", [Outbox.losses_after, lambda outbox, *_: outbox.after(Lane.FINDINGS, 0, 10)])
def test_a_loss_whose_bytes_changed_on_the_card_is_declared_again_and_so_is_its_own_number(
    start: Start, read: Callable[..., list[tuple[int, bytes]]]
) -> None:
    outbox = start()
    lost, seq = a_declared_loss(outbox)
    outbox._store.db.execute("UPDATE record SET body = CAST(replace(body, 'power', 'tower') AS BLOB)")
    assert read(outbox, 0, 10) == []
    assert [(one.first_seq, one.last_seq, one.cause) for one in outbox.undeclared()] == [
        (lost.first_seq, lost.last_seq, lost.cause),
        (seq, seq, RECORD_UNREADABLE),
    ]


def test_backdating_gives_changed_bytes_no_new_checksum(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two"])
    outbox._store.db.execute("UPDATE record SET body = x'00' WHERE seq = 2")
    assert outbox.rewrite(Lane.FINDINGS, 0, lambda body: body + b", dated") == 1
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one, dated")]


def test_the_quarantine_is_bounded_and_never_holds_a_loss(start: Start) -> None:
    outbox = start()
    outbox.put([b"record"] * 20)
    outbox.buffer(b"batch")
    for seq in range(1, 21):
        outbox.quarantine(Lane.FINDINGS, seq, "nobody takes it")
    outbox.quarantine(Lane.TELEMETRY, 1, "nobody takes it")
    assert len(outbox.quarantined()) == MAX_QUARANTINED
    assert outbox.quarantined()[-1][:2] == (Lane.TELEMETRY, 1)
    assert outbox.after(Lane.TELEMETRY, 0, 1) == []
    outbox.put([records.encode(a_loss(1, 2))])
    assert not outbox.quarantine(Lane.FINDINGS, 21, "nobody takes it")
    assert [seq for seq, _ in outbox.after(Lane.FINDINGS, 0, 10)] == [21]


def test_old_telemetry_is_evicted_first_then_old_evidence_and_each_eviction_is_counted(path: Path) -> None:
    quota = Quota(budget_bytes=1 << 20, headroom_bytes=0)
    outbox = Outbox(path, quota)
    finding = records.encode(a_finding())
    evidence = records.encode(an_evidence(values=[1.0] * 2000))
    put = buffered = 0
    for round_ in range(120):
        outbox.put([finding, evidence])
        put += 2
        outbox.buffer(bytes([round_]) * 20_000)
        buffered += 1
        outbox.flush()
    kept = dict(outbox.after(Lane.FINDINGS, 0, 1000))
    bulk = [seq for seq, _ in outbox.after(Lane.TELEMETRY, 0, 1000)]
    assert sum(body == finding for body in kept.values()) == 120, "findings are evicted last"
    assert bulk == list(range(buffered - len(bulk) + 1, buffered + 1)), "the oldest are evicted"
    assert bulk, "the newest telemetry is kept"
    packs = [seq for seq, body in kept.items() if body == evidence]
    assert packs == list(range(put, put - 2 * len(packs), -2))[::-1]
    lost = {
        lane: sum(one.last_seq - one.first_seq + 1 for one in outbox.undeclared(999) if one.lane is lane)
        for lane in Lane
    }
    assert lost == {Lane.FINDINGS: put - len(kept), Lane.TELEMETRY: buffered - len(bulk)}
    assert len([one for one in outbox.undeclared(999) if one.lane is Lane.TELEMETRY]) == 1, "one range, not one by one"
    assert outbox._store.used_bytes() <= 1 << 20
    assert sum(part.stat().st_size for part in path.parent.iterdir()) < 4 << 20
    crash(outbox)


def test_learned_state_counts_within_the_budget(path: Path) -> None:
    quota = Quota(budget_bytes=2 << 20, headroom_bytes=0)
    outbox = Outbox(path, quota)
    for round_ in range(400):
        outbox.buffer(bytes(7_000))
        outbox.flush()
        outbox.save_learned_state("judges", bytes(60_000 * (round_ % 2)))
        assert outbox._store.used_bytes() <= quota.budget_bytes
    assert outbox.undeclared(), "it was full"
    crash(outbox)


def test_on_a_nearly_full_file_system_the_headroom_stays_free_and_findings_are_stored(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(path, Quota(budget_bytes=64 << 20, headroom_bytes=10 << 20))
    for _ in range(200):
        outbox.buffer(b"x" * 20_000)
    outbox.flush()
    before = outbox._store.used_bytes()
    monkeypatch.setattr(Store, "free_bytes", lambda _store: 5 << 20)
    outbox.put([b"the disk is filling"])
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"the disk is filling")]
    assert outbox._store.used_bytes() <= max(MIN_BYTES, before - (5 << 20))
    assert path.stat().st_size < before, "the space is returned to the file system"
    crash(outbox)


def test_a_store_of_version_1_is_migrated_without_loss(path: Path, start: Start) -> None:
    put_store(path, version=1)
    outbox = start()
    assert outbox.damage is None
    assert outbox.undeclared() == []
    findings = [json.loads(body) for _, body in outbox.after(Lane.FINDINGS, 0, 10)]
    assert [record["kind"] for record in findings] == ["evidence", "finding"]
    assert outbox.base_seq(Lane.FINDINGS) == 2
    batches = outbox.after(Lane.TELEMETRY, 0, 10)
    assert [seq for seq, _ in batches] == [1, 2]
    assert list(outbox.open_findings()) == [an_id(1)]
    assert outbox.learned_state("judges") == b'{"trends": {}}'
    kinds = outbox._store.db.execute("SELECT kind FROM record ORDER BY lane, seq").fetchall()
    assert kinds == [("evidence",), ("finding",), ("telemetry",), ("telemetry",)]
    outbox.put([b"four"])
    assert outbox.last_seq(Lane.FINDINGS) == 4
    assert outbox._store.db.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_store_of_version_2_keeps_its_losses_its_quarantine_and_every_record(path: Path, start: Start) -> None:
    put_store(path, version=2)
    outbox = start()
    assert outbox.damage is None
    assert outbox.undeclared() == []
    findings = [json.loads(body) for _, body in outbox.after(Lane.FINDINGS, 0, 10)]
    assert [record["kind"] for record in findings] == ["evidence", "finding", "loss"]
    assert [seq for seq, _ in outbox.after(Lane.TELEMETRY, 0, 10)] == [1, 3]
    assert [seq for seq, _ in outbox.losses_after(0, 10)] == [4]
    assert outbox.quarantined() == [(Lane.TELEMETRY, 2, "nobody takes it")]
    assert list(outbox.open_findings()) == [an_id(1)]
    assert outbox.learned_state("judges") == b'{"trends": {}}'
    outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), 4)
    outbox.acknowledge(Lane.TELEMETRY, outbox.stream(Lane.TELEMETRY), 3)
    assert not outbox._store.db.execute("SELECT count(*) FROM lost").fetchone()[0]
    assert outbox._store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_store_too_large_to_be_copied_keeps_its_old_form_until_there_is_space(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_store(path, version=2)
    monkeypatch.setattr(Store, "free_bytes", lambda _store: 50_000)
    old = start()
    assert old._store.db.execute("PRAGMA user_version").fetchone() == (2,)
    old.put([b"five"])
    old.close()
    monkeypatch.undo()
    new = start()
    assert new._store.db.execute("PRAGMA user_version").fetchone() == (3,)
    assert [seq for seq, _ in new.after(Lane.FINDINGS, 0, 10)] == [2, 3, 4, 5]
    assert new.damage is None


@pytest.mark.parametrize("slot", [0, 1])
def test_a_store_opens_although_one_slot_of_the_sequence_file_can_not_be_read(
    start: Start, monkeypatch: pytest.MonkeyPatch, slot: int
) -> None:
    first = start()
    first.put([b"one"])
    first.close()
    pread = os.pread

    def unreadable(file: int, size: int, at: int) -> bytes:
        if at == slot * SLOT:
            raise OSError(errno.EIO, "bad sector")
        return pread(file, size, at)

    monkeypatch.setattr("edge_agent.outbox.sequence_file.os.pread", unreadable)
    again = start()
    assert again.after(Lane.FINDINGS, 0, 10) == [(1, b"one")]
    again.put([b"two"])
    assert again.last_seq(Lane.FINDINGS) >= 2


@pytest.mark.parametrize("size", [100, 1_300, 2_000, 20_000])
def test_a_record_takes_little_more_space_than_its_bytes(start: Start, size: int) -> None:
    outbox = start()
    empty = outbox._store.used_bytes()
    outbox.put([bytes(size)] * 200)
    assert outbox._store.used_bytes() - empty <= 200 * (1.3 * size + 100)


def test_another_programs_database_is_set_aside_not_written_into(path: Path, start: Start) -> None:
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as foreign:
        foreign.execute("CREATE TABLE recipes (name TEXT)")
    outbox = start()
    assert outbox.damage is not None
    assert "another program" in outbox.damage.reason


def test_a_damaged_store_is_kept_while_no_new_one_can_be_created(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(db: sqlite3.Connection, _free_bytes: int | None) -> None:
        db.execute("PRAGMA max_page_count = 1")
        db.execute("CREATE TABLE one (a)")
        db.execute("CREATE TABLE two (a)")

    outbox = start()
    outbox.put([b"one"])
    with monkeypatch.context() as patched:
        patched.setattr("edge_agent.outbox.database.migrate", full)
        for _ in range(5):
            with pytest.raises(sqlite3.OperationalError, match="full"):
                outbox.start_new_store("database disk image is malformed")
    outbox.start_new_store("Cannot operate on a closed database")
    kept = [part for part in path.parent.iterdir() if ".damaged-" in part.name and part.stat().st_size]
    assert outbox.damage is not None
    assert outbox.damage.kept_as in kept
    assert outbox.damage.reason == "database disk image is malformed"
    outbox.put([b"after the damage"])


def test_only_a_few_damaged_stores_are_kept(path: Path, start: Start) -> None:
    for _ in range(5):
        outbox = start()
        outbox.close()
        path.write_bytes(b"x" * 20_000)
    start()
    kept = [part for part in path.parent.iterdir() if ".damaged-" in part.name]
    assert len(kept) == MAX_SET_ASIDE
