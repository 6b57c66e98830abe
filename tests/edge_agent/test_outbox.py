"""The outbox: what it has accepted stays until the cloud has it, and no number is ever used twice."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.outbox import RESERVE, InUse, Outbox
from edge_agent.protocol.topics import Lane

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


def crash(outbox: Outbox) -> None:
    """End it as SIGKILL does: nothing is flushed, the locks are gone."""
    outbox._db.close()
    if outbox._lock is not None:
        os.close(outbox._lock)
        outbox._lock = None


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
    assert again.gap is None
    again.hold(b"c")
    assert again.after(Lane.TELEMETRY, 0, 10) == [(1, b"a"), (2, b"b"), (3, b"c")]


def test_what_a_crash_takes_of_telemetry_is_named_and_its_numbers_are_not_used_again(start: Start) -> None:
    outbox = start()
    outbox.hold(b"a")
    outbox.hold(b"b")
    stream = outbox.stream(Lane.TELEMETRY)
    crash(outbox)
    again = start()
    assert again.gap is not None
    assert (again.gap.stream, again.gap.first_seq, again.gap.last_seq) == (stream, 1, RESERVE)
    again.hold(b"c")
    assert again.after(Lane.TELEMETRY, 0, 10) == [(RESERVE + 1, b"c")]


def test_a_first_start_has_no_gap(start: Start) -> None:
    assert start().gap is None


@pytest.mark.parametrize("content", [b"\0" * 8192, b"not a database at all, but long enough to be looked at" * 40])
def test_a_damaged_store_is_set_aside_and_a_new_stream_begins(path: Path, start: Start, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    outbox = start()
    if content.strip(b"\0"):
        assert outbox.set_aside is not None
        assert outbox.set_aside.read_bytes() == content
    outbox.put([b"one"])
    assert outbox.after(Lane.FINDINGS, 0, 1) == [(1, b"one")]


def test_a_store_of_a_newer_version_is_set_aside_not_misread(path: Path, start: Start) -> None:
    start().close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert start().set_aside is not None


actions = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 3)),
        st.tuples(st.just("hold"), st.integers(1, 3)),
        st.tuples(st.just("ack"), st.integers(0, 20)),
        st.tuples(st.just("crash"), st.just(0)),
        st.tuples(st.just("stop"), st.just(0)),
    ),
    max_size=25,
)


@given(actions)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_every_number_is_used_once_and_every_finding_is_kept(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "outbox.db"
    outbox = Outbox(path)
    bodies: dict[tuple[Lane, int], bytes] = {}
    written = acked = 0
    for index, (action, count) in enumerate(steps):
        if action == "put":
            outbox.put([f"finding {index}.{part}".encode() for part in range(count)])
            written += count
        elif action == "hold":
            for part in range(count):
                outbox.hold(f"batch {index}.{part}".encode())
        elif action == "ack":
            acked += outbox.acknowledge(Lane.FINDINGS, outbox.stream(Lane.FINDINGS), count)
        else:
            crash(outbox) if action == "crash" else outbox.close()
            outbox = Outbox(path)
        for lane in Lane:
            for seq, body in outbox.after(lane, 0, 1000):
                assert bodies.setdefault((lane, seq), body) == body, "a number was used for two records"
    assert len(outbox.after(Lane.FINDINGS, 0, 1000)) == written - acked
    crash(outbox)


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
