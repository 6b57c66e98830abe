"""The outbox: what it has accepted stays until the cloud has it, and no number is ever used twice."""

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

from edge_agent.outbox.database import KEPT_ASIDE, LOG_BYTES, InUse, Store
from edge_agent.outbox.loss_table import Gone
from edge_agent.outbox.outbox import DAMAGED, FELL_BACK, RESERVE, UNCLEAN, UNREADABLE, Outbox
from edge_agent.outbox.quota import LEAST_BYTES, Room
from edge_agent.outbox.record_table import QUARANTINED
from edge_agent.outbox.sequence_file import SLOT
from edge_agent.outbox.write_buffer import GRACE_S
from edge_agent.protocol import records
from edge_agent.protocol.topics import Lane
from tests.builders import a_finding, a_loss, an_evidence, an_id
from tests.disks import small_disk

Start = Callable[[], Outbox]


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
    """Put a store there that an agent of before has left."""
    path.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "stores" / f"version-{version}.sqlite", path)


def crash(outbox: Outbox) -> None:
    """End it as SIGKILL does: nothing is flushed, the locks are gone."""
    outbox._store.close()
    if outbox._ledger is not None:
        outbox._ledger.close()


def test_findings_survive_a_crash_in_order(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two"])
    outbox.put([b"three"])
    crash(outbox)
    assert start().after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (2, b"two"), (3, b"three")]


def test_a_record_goes_only_when_the_cloud_has_it(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two", b"three"])
    stream = outbox.stream(Lane.FINDINGS)
    assert outbox.acknowledge(Lane.FINDINGS, stream, 2) == 2
    assert outbox.acknowledge(Lane.FINDINGS, stream, 1) == 0, "an old acknowledgement changes nothing"
    assert outbox.acknowledge(Lane.FINDINGS, "another stream", 3) == 0
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(3, b"three")]
    assert outbox.base_seq(Lane.FINDINGS) == 3


def test_what_stands_is_kept_with_what_was_said(start: Start) -> None:
    outbox = start()
    outbox.put([b"opened", b"opened too"], {"a": b"finding a", "b": b"finding b"})
    outbox.put([b"cleared"], {"a": None})
    crash(outbox)
    assert start().standing() == {"b": b"finding b"}


def test_telemetry_survives_a_clean_stop(start: Start) -> None:
    outbox = start()
    outbox.hold(b"a")
    outbox.hold(b"b")
    outbox.close()
    again = start()
    assert again.undeclared() == []
    again.hold(b"c")
    assert again.after(Lane.TELEMETRY, 0, 10) == [(1, b"a"), (2, b"b"), (3, b"c")]


def test_what_a_crash_takes_of_telemetry_is_named_and_its_numbers_are_not_used_again(start: Start) -> None:
    outbox = start()
    outbox.hold(b"a")
    outbox.hold(b"b")
    stream = outbox.stream(Lane.TELEMETRY)
    crash(outbox)
    again = start()
    assert again.undeclared() == [Gone(Lane.TELEMETRY, stream, 1, RESERVE, UNCLEAN)]
    again.hold(b"c")
    assert again.after(Lane.TELEMETRY, 0, 10) == [(RESERVE + 1, b"c")]


def test_a_record_that_was_expected_and_never_came_is_missed(start: Start) -> None:
    """A batch of telemetry is collected for an hour: what a power cut takes of it has a number already."""
    outbox = start()
    outbox.expect(ahead=3)
    outbox.expect(ahead=3)
    stream = outbox.stream(Lane.TELEMETRY)
    crash(outbox)
    again = start()
    assert again.undeclared() == [Gone(Lane.TELEMETRY, stream, 1, 3, UNCLEAN)]
    again.expect(ahead=3)
    again.hold(b"a batch")
    assert again.after(Lane.TELEMETRY, 0, 10) == [(4, b"a batch")]
    again.close()
    assert len(start().undeclared()) == 1, "a clean stop gives back what was not used"


def test_a_store_starts_and_takes_findings_on_a_disk_that_has_become_full(tmp_path: Path) -> None:
    """A full disk is what the device has to report. It is as full when the agent runs as when it starts."""
    with small_disk(tmp_path / "disk") as disk:
        path = disk.path / "outbox.db"
        first = Outbox(path)
        first.put([b"before"])
        first.hold(b"a batch")
        first.close()
        disk.fill()
        second = Outbox(path)
        for _ in range(5):
            second.put([bytes(20_000)], {"a": b"it stands"})
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


def test_the_room_of_the_log_is_kept_while_the_store_is_closed_and_becomes_the_log(path: Path, start: Start) -> None:
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
def test_a_damaged_store_is_set_aside_and_a_new_stream_begins(path: Path, start: Start, content: bytes) -> None:
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
        st.tuples(st.just("hold"), st.integers(1, 3)),
        st.tuples(st.just("ack"), st.integers(0, 20)),
        st.tuples(st.just("ack telemetry"), st.integers(0, 600)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("set aside"), st.integers(1, 20)),
        st.tuples(st.just("declare"), st.just(0)),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("stop"), st.just(0)),
    ),
    max_size=25,
)


def put(outbox: Outbox, count: int, name: str) -> None:
    outbox.put([f"finding {name}.{part}".encode() for part in range(count)])


def hold(outbox: Outbox, count: int, name: str) -> None:
    for part in range(count):
        outbox.hold(f"batch {name}.{part}".encode())


def ack(outbox: Outbox, lane: Lane, up_to: int) -> None:
    outbox.acknowledge(lane, outbox.stream(lane), min(up_to, outbox.last_seq(lane)))


def declare(outbox: Outbox, name: str) -> None:
    gone = outbox.undeclared()
    outbox.put([f"loss {name}.{part}".encode() for part in range(len(gone))], declared=gone)


ACTIONS: dict[str, Callable[[Outbox, int, str], object]] = {
    "put": put,
    "hold": hold,
    "ack": lambda outbox, count, _name: ack(outbox, Lane.FINDINGS, count),
    "ack telemetry": lambda outbox, count, _name: ack(outbox, Lane.TELEMETRY, count),
    "flush": lambda outbox, _count, _name: outbox.flush(),
    "set aside": lambda outbox, count, _name: outbox.quarantine(list(Lane)[count % 2], count, "nobody takes it"),
    "declare": lambda outbox, _count, name: declare(outbox, name),
}


@given(actions)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_every_number_is_used_once_and_is_kept_or_known_to_be_gone(
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
    """Return the numbers above the last acknowledged one that are here or known to be gone; never both."""
    here = {seq for seq, _ in outbox.after(lane, 0, 10_000)}
    rows = outbox._store.db.execute("SELECT first_seq, last_seq FROM lost WHERE lane = ?", (lane,)).fetchall()
    gone = {seq for first, last in rows for seq in range(first, last + 1) if seq >= outbox.base_seq(lane)}
    assert not here & gone
    return here | gone


def test_a_store_that_another_agent_has_is_left_alone(start: Start) -> None:
    first = start()
    with pytest.raises(InUse):
        start()
    first.put([b"one"])
    first.close()
    start().close()


def test_without_a_disk_it_works_in_memory() -> None:
    outbox = Outbox(None)
    outbox.put([b"one"], {"a": b"finding"})
    outbox.hold(b"batch")
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one")]
    assert outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), 1) == 1
    outbox.close()


def test_telemetry_is_not_written_while_the_cloud_acknowledges_it(start: Start) -> None:
    outbox = start()
    for minute in range(0, 24 * 60, 15):
        outbox.hold(b"batch")
        outbox.tend(minute * 60.0, connected=True)
        outbox.tend(minute * 60.0 + 1, connected=True)
        outbox.acknowledge(Lane.TELEMETRY, outbox.stream(Lane.TELEMETRY), outbox.last_seq(Lane.TELEMETRY))
        outbox.tend(minute * 60.0 + 2, connected=True)
    assert written(outbox) == []
    assert outbox.after(Lane.TELEMETRY, 0, 1000) == []


def written(outbox: Outbox) -> list[int]:
    rows = outbox._store.db.execute("SELECT seq FROM record WHERE lane = 'telemetry' ORDER BY seq").fetchall()
    return [seq for (seq,) in rows]


def test_a_power_cut_takes_no_more_telemetry_than_one_interval_and_says_which(start: Start) -> None:
    """Written down once the link is away for a minute, and then at the set interval."""
    outbox = start()
    outbox.hold(b"one")
    outbox.tend(0.0, connected=False)
    outbox.tend(GRACE_S - 1, connected=False)
    assert written(outbox) == [], "a short absence wears no card"
    outbox.tend(GRACE_S, connected=False)
    assert written(outbox) == [1]
    outbox.hold(b"two")
    outbox.tend(GRACE_S + 1, connected=False)
    outbox.tend(GRACE_S + 899, connected=False)
    assert written(outbox) == [1]
    outbox.tend(GRACE_S + 901, connected=False)
    assert written(outbox) == [1, 2]
    outbox.hold(b"three")
    stream = outbox.stream(Lane.TELEMETRY)
    crash(outbox)
    again = start()
    assert again.after(Lane.TELEMETRY, 0, 10) == [(1, b"one"), (2, b"two")]
    assert again.undeclared() == [Gone(Lane.TELEMETRY, stream, 3, RESERVE, UNCLEAN)]


def test_what_a_broker_without_a_cloud_holds_up_is_written_down_at_the_interval(start: Start) -> None:
    outbox = start()
    outbox.hold(b"one")
    for second in range(0, 901, 60):
        outbox.tend(float(second), connected=True)
    assert written(outbox) == [1]


def test_a_loss_is_declared_once_and_forgotten_when_the_cloud_has_counted_it(start: Start) -> None:
    outbox = start()
    outbox.hold(b"one")
    crash(outbox)
    outbox = start()
    (gone,) = outbox.undeclared()
    outbox.put([b"the loss"], declared=[gone])
    assert outbox.undeclared() == []
    crash(outbox)
    outbox = start()
    assert outbox.undeclared() == [], "it is in the findings lane already"
    outbox.acknowledge(Lane.TELEMETRY, gone.stream, gone.last_seq)
    outbox.hold(b"next")
    assert outbox._store.db.execute("SELECT count(*) FROM lost").fetchone() == (0,)


def test_records_that_never_got_in_are_given_numbers_so_that_they_are_missed(start: Start) -> None:
    outbox = start()
    outbox.put([b"one"])
    outbox.put([b"four"], given_up={Lane.FINDINGS: 2, Lane.TELEMETRY: 3})
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (4, b"four")]
    assert [(one.lane, one.first_seq, one.last_seq) for one in outbox.undeclared()] == [
        (Lane.FINDINGS, 2, 3),
        (Lane.TELEMETRY, 1, 3),
    ]
    outbox.hold(b"batch")
    assert outbox.after(Lane.TELEMETRY, 0, 10) == [(4, b"batch")]


def test_a_store_that_falls_back_behind_what_was_committed_uses_no_number_again(path: Path, start: Start) -> None:
    """A card that lies about writes, or a copy of yesterday: the ledger beside the store knows better."""
    outbox = start()
    outbox.put([b"one"])
    crash(outbox)
    yesterday = path.read_bytes()
    outbox = start()
    outbox.put([b"two", b"three"])
    outbox.hold(b"batch")
    stream = outbox.stream(Lane.FINDINGS)
    crash(outbox)
    path.write_bytes(yesterday)
    again = start()
    lost = [(one.lane, one.first_seq, one.last_seq, one.cause) for one in again.undeclared()]
    assert lost == [(Lane.FINDINGS, 2, 3, FELL_BACK), (Lane.TELEMETRY, 1, RESERVE, UNCLEAN)]
    again.put([b"four"])
    assert again.stream(Lane.FINDINGS) == stream
    assert again.after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (4, b"four")]


def test_what_a_damaged_store_held_is_declared_from_the_ledger(path: Path, start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two"])
    stream = outbox.stream(Lane.FINDINGS)
    outbox.close()
    path.write_bytes(b"x" * 20_000)
    again = start()
    assert again.damage is not None
    assert again.undeclared() == [Gone(Lane.FINDINGS, stream, 1, 2, DAMAGED)]
    assert again.stream(Lane.FINDINGS) != stream


def test_a_store_found_damaged_while_it_is_open_is_set_aside_and_the_agent_goes_on(start: Start) -> None:
    outbox = start()
    outbox.put([b"one"])
    stream = outbox.stream(Lane.FINDINGS)
    outbox.begin_anew("database disk image is malformed")
    assert outbox.damage is not None
    assert outbox.undeclared() == [Gone(Lane.FINDINGS, stream, 1, 1, DAMAGED)]
    outbox.put([b"first of a new stream"])
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"first of a new stream")]


@pytest.mark.parametrize("again", ["while it is open", "at the next start", "after its loss was put in line"])
def test_two_damages_in_a_row_forget_neither_stream_until_the_cloud_has_counted_them(
    path: Path, start: Start, again: str
) -> None:
    outbox, streams = start(), []
    for part in range(2):
        outbox.put([b"one"])
        streams.append(outbox.stream(Lane.FINDINGS))
        if part and again == "after its loss was put in line":
            outbox.put([b"the loss"], declared=outbox.undeclared())
        if part == 0 or again != "at the next start":
            outbox.begin_anew("database disk image is malformed")
        else:
            crash(outbox)
            path.write_bytes(b"x" * 20_000)
            outbox = start()
    gone = outbox.undeclared()
    assert {one.stream for one in gone} == set(streams)
    outbox.put([b"loss"] * len(gone), declared=gone)
    outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), outbox.last_seq(Lane.FINDINGS))
    outbox.begin_anew("database disk image is malformed")
    assert not {one.stream for one in outbox.undeclared()} & set(streams), "counted once"


def test_what_was_given_up_of_the_old_stream_takes_no_number_of_the_new_one(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.held.MOST_BYTES", 10)
    outbox = start()
    outbox.hold(b"fits")
    outbox._store.db.execute("PRAGMA query_only = 1")
    outbox.hold(b"does not fit")
    stream = outbox.stream(Lane.TELEMETRY)
    outbox.begin_anew("database disk image is malformed")
    outbox.hold(b"new")
    outbox.flush()
    assert {one.stream for one in outbox.undeclared()} == {stream}


def test_an_acknowledgement_of_numbers_that_were_never_given_out_shows_an_old_copy(start: Start) -> None:
    """Restored from a backup, ledger and all: what waits gets numbers behind those that the cloud knows."""
    outbox = start()
    outbox.put([b"one", b"two"])
    outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), 7)
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(8, b"one"), (9, b"two")]
    assert outbox.base_seq(Lane.FINDINGS) == 8


def test_what_an_old_copy_has_lost_is_missed_behind_what_the_cloud_knows(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two", b"three"])
    outbox.quarantine(Lane.FINDINGS, 2, "nobody takes it")
    outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), 7)
    assert [(one.first_seq, one.last_seq, one.cause) for one in outbox.undeclared()] == [(8, 8, "nobody takes it")]
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(9, b"one"), (10, b"three")]
    assert outbox.last_seq(Lane.FINDINGS) == 10


@pytest.mark.parametrize("up_to", [2**41, 2**63 - 2])
def test_an_acknowledgement_that_no_device_can_have_reached_changes_nothing(start: Start, up_to: int) -> None:
    outbox = start()
    outbox.put([b"one"])
    with pytest.raises(ValueError, match="no device"):
        outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), up_to)
    outbox.put([b"two"])
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (2, b"two")]


def test_a_record_whose_bytes_changed_on_the_card_is_put_aside_and_the_lane_goes_on(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two", b"three"])
    outbox._store.db.execute("UPDATE record SET body = x'00' WHERE seq = 2")
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one"), (3, b"three")]
    assert [(one.first_seq, one.last_seq) for one in outbox.undeclared()] == [(2, 2)]
    assert outbox.quarantined() == [(Lane.FINDINGS, 2, UNREADABLE)]


def a_declared_loss(outbox: Outbox) -> tuple[Gone, int]:
    """Let a record be lost and say so; return the loss, and the number of the record that declares it."""
    outbox.put([b"one"])
    outbox.quarantine(Lane.FINDINGS, outbox.last_seq(Lane.FINDINGS), "nobody takes it")
    (gone,) = outbox.undeclared()
    outbox.put([records.encode(a_loss(gone.first_seq, gone.last_seq, lane=gone.lane))], declared=[gone])
    return gone, outbox.last_seq(Lane.FINDINGS)


@pytest.mark.parametrize("read", [Outbox.losses_after, lambda outbox, *_: outbox.after(Lane.FINDINGS, 0, 10)])
def test_a_loss_whose_bytes_changed_on_the_card_is_declared_again_and_so_is_its_own_number(
    start: Start, read: Callable[..., list[tuple[int, bytes]]]
) -> None:
    outbox = start()
    gone, seq = a_declared_loss(outbox)
    outbox._store.db.execute("UPDATE record SET body = CAST(replace(body, 'power', 'tower') AS BLOB)")
    assert read(outbox, 0, 10) == []
    assert [(one.first_seq, one.last_seq, one.cause) for one in outbox.undeclared()] == [
        (gone.first_seq, gone.last_seq, gone.cause),
        (seq, seq, UNREADABLE),
    ]


def test_bytes_that_changed_on_the_card_get_no_new_checksum_with_a_date(start: Start) -> None:
    outbox = start()
    outbox.put([b"one", b"two"])
    outbox._store.db.execute("UPDATE record SET body = x'00' WHERE seq = 2")
    assert outbox.rewrite(Lane.FINDINGS, 0, lambda body: body + b", dated") == 1
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"one, dated")]


def test_the_quarantine_is_bounded_and_a_loss_is_never_put_there(start: Start) -> None:
    outbox = start()
    outbox.put([b"record"] * 20)
    outbox.hold(b"batch")
    for seq in range(1, 21):
        outbox.quarantine(Lane.FINDINGS, seq, "nobody takes it")
    outbox.quarantine(Lane.TELEMETRY, 1, "nobody takes it")
    assert len(outbox.quarantined()) == QUARANTINED
    assert outbox.quarantined()[-1][:2] == (Lane.TELEMETRY, 1)
    assert outbox.after(Lane.TELEMETRY, 0, 1) == []
    outbox.put([records.encode(a_loss(1, 2))])
    assert not outbox.quarantine(Lane.FINDINGS, 21, "nobody takes it")
    assert [seq for seq, _ in outbox.after(Lane.FINDINGS, 0, 10)] == [21]


def test_room_is_made_from_old_telemetry_first_then_old_evidence_and_every_drop_is_counted(path: Path) -> None:
    room = Room(budget_bytes=1 << 20, headroom_bytes=0)
    outbox = Outbox(path, room)
    finding = records.encode(a_finding())
    evidence = records.encode(an_evidence(values=[1.0] * 2000))
    put = held = 0
    for round_ in range(120):
        outbox.put([finding, evidence])
        put += 2
        outbox.hold(bytes([round_]) * 20_000)
        held += 1
        outbox.flush()
    kept = dict(outbox.after(Lane.FINDINGS, 0, 1000))
    bulk = [seq for seq, _ in outbox.after(Lane.TELEMETRY, 0, 1000)]
    assert sum(body == finding for body in kept.values()) == 120, "findings go last"
    assert bulk == list(range(held - len(bulk) + 1, held + 1)), "the oldest went"
    assert bulk, "the newest of the bulk stays"
    packs = [seq for seq, body in kept.items() if body == evidence]
    assert packs == list(range(put, put - 2 * len(packs), -2))[::-1]
    lost = {
        lane: sum(one.last_seq - one.first_seq + 1 for one in outbox.undeclared(999) if one.lane is lane)
        for lane in Lane
    }
    assert lost == {Lane.FINDINGS: put - len(kept), Lane.TELEMETRY: held - len(bulk)}
    assert len([one for one in outbox.undeclared(999) if one.lane is Lane.TELEMETRY]) == 1, "one range, not one by one"
    assert outbox._store.used_bytes() <= 1 << 20
    assert sum(part.stat().st_size for part in path.parent.iterdir()) < 4 << 20
    crash(outbox)


def test_what_was_learnt_finds_its_room_within_the_budget_too(path: Path) -> None:
    room = Room(budget_bytes=2 << 20, headroom_bytes=0)
    outbox = Outbox(path, room)
    for round_ in range(400):
        outbox.hold(bytes(7_000))
        outbox.flush()
        outbox.learn("judges", bytes(60_000 * (round_ % 2)))
        assert outbox._store.used_bytes() <= room.budget_bytes
    assert outbox.undeclared(), "it was full"
    crash(outbox)


def test_a_file_system_that_is_nearly_full_is_left_its_headroom_and_findings_still_get_in(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(path, Room(budget_bytes=64 << 20, headroom_bytes=10 << 20))
    for _ in range(200):
        outbox.hold(b"x" * 20_000)
    outbox.flush()
    before = outbox._store.used_bytes()
    monkeypatch.setattr(Store, "free_bytes", lambda _store: 5 << 20)
    outbox.put([b"the disk is filling"])
    assert outbox.after(Lane.FINDINGS, 0, 10) == [(1, b"the disk is filling")]
    assert outbox._store.used_bytes() <= max(LEAST_BYTES, before - (5 << 20))
    assert path.stat().st_size < before, "what was given up is given back to the file system"
    crash(outbox)


def test_an_old_store_becomes_one_of_today_and_nothing_in_it_is_lost(path: Path, start: Start) -> None:
    put_store(path, version=1)
    outbox = start()
    assert outbox.damage is None
    assert outbox.undeclared() == []
    findings = [json.loads(body) for _, body in outbox.after(Lane.FINDINGS, 0, 10)]
    assert [record["kind"] for record in findings] == ["evidence", "finding"]
    assert outbox.base_seq(Lane.FINDINGS) == 2
    batches = outbox.after(Lane.TELEMETRY, 0, 10)
    assert [seq for seq, _ in batches] == [1, 2]
    assert list(outbox.standing()) == [an_id(1)]
    assert outbox.learnt("judges") == b'{"trends": {}}'
    kinds = outbox._store.db.execute("SELECT kind FROM record ORDER BY lane, seq").fetchall()
    assert kinds == [("evidence",), ("finding",), ("telemetry",), ("telemetry",)]
    outbox.put([b"four"])
    assert outbox.last_seq(Lane.FINDINGS) == 4
    assert outbox._store.db.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_store_of_version_2_keeps_its_losses_what_was_put_aside_and_every_record(path: Path, start: Start) -> None:
    put_store(path, version=2)
    outbox = start()
    assert outbox.damage is None
    assert outbox.undeclared() == []
    findings = [json.loads(body) for _, body in outbox.after(Lane.FINDINGS, 0, 10)]
    assert [record["kind"] for record in findings] == ["evidence", "finding", "loss"]
    assert [seq for seq, _ in outbox.after(Lane.TELEMETRY, 0, 10)] == [1, 3]
    assert [seq for seq, _ in outbox.losses_after(0, 10)] == [4]
    assert outbox.quarantined() == [(Lane.TELEMETRY, 2, "nobody takes it")]
    assert list(outbox.standing()) == [an_id(1)]
    assert outbox.learnt("judges") == b'{"trends": {}}'
    outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), 4)
    outbox.acknowledge(Lane.TELEMETRY, outbox.stream(Lane.TELEMETRY), 3)
    assert not outbox._store.db.execute("SELECT count(*) FROM lost").fetchone()[0]
    assert outbox._store.db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_store_that_has_no_room_to_be_copied_goes_on_in_its_old_form_until_there_is(
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
def test_a_ledger_of_which_half_can_not_be_read_keeps_no_store_from_opening(
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

    monkeypatch.setattr("edge_agent.ledger.os.pread", unreadable)
    again = start()
    assert again.after(Lane.FINDINGS, 0, 10) == [(1, b"one")]
    again.put([b"two"])
    assert again.last_seq(Lane.FINDINGS) >= 2


@pytest.mark.parametrize("size", [100, 1_300, 2_000, 20_000])
def test_a_record_takes_little_more_room_than_it_has_bytes(start: Start, size: int) -> None:
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


def test_a_damaged_store_stays_to_be_looked_at_while_no_new_one_can_be_made(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(db: sqlite3.Connection, _free_bytes: int | None) -> None:
        db.execute("PRAGMA max_page_count = 1")
        db.execute("CREATE TABLE one (a)")
        db.execute("CREATE TABLE two (a)")

    outbox = start()
    outbox.put([b"one"])
    with monkeypatch.context() as patched:
        patched.setattr("edge_agent.store.migrate", full)
        for _ in range(5):
            with pytest.raises(sqlite3.OperationalError, match="full"):
                outbox.begin_anew("database disk image is malformed")
    outbox.begin_anew("Cannot operate on a closed database")
    kept = [part for part in path.parent.iterdir() if ".damaged-" in part.name and part.stat().st_size]
    assert outbox.damage is not None
    assert outbox.damage.kept_as in kept
    assert outbox.damage.reason == "database disk image is malformed"
    outbox.put([b"life goes on"])


def test_only_a_few_damaged_stores_are_kept(path: Path, start: Start) -> None:
    for _ in range(5):
        outbox = start()
        outbox.close()
        path.write_bytes(b"x" * 20_000)
    start()
    kept = [part for part in path.parent.iterdir() if ".damaged-" in part.name]
    assert len(kept) == KEPT_ASIDE
