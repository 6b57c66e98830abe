"""The uplink against a broker that misbehaves; its journeys over real brokers are in tests/journeys."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.outbox import Outbox
from edge_agent.protocol import records
from edge_agent.protocol.records import Presence, PresenceState
from edge_agent.protocol.topics import Lane
from edge_agent.uplink import lane_in_flight, messages_in_flight
from edge_agent.uplink import uplink as uplink_module
from edge_agent.uplink.backoff import Backoff
from edge_agent.uplink.messages_in_flight import ENDS_LINKS, NOT_ACCEPTED, TOO_LARGE, MessageInFlight
from edge_agent.uplink.mqtt_connection import Acknowledged, Connection, Disconnected, Link
from edge_agent.uplink.rate_limit import MESSAGE_BYTES
from edge_agent.uplink.uplink import Uplink, _cut_to_message
from tests.brokers import ScriptedBroker
from tests.builders import DEVICE, a_chunk, a_finding, a_loss, an_evidence, an_instant


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten waits from seconds to hundredths; test_backoff tests their length."""
    monkeypatch.setattr(Backoff, "next_s", lambda _self, _held_s: 0.01)
    monkeypatch.setattr(messages_in_flight, "QUIET_S", 0.1)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    store = Outbox(tmp_path / "outbox.db")
    yield store
    store.close()


def presence(state: PresenceState) -> Presence:
    return Presence(state=state, at=an_instant(), agent="0.1.0")


@contextmanager
def sending(outbox: Outbox, port: int, *, keepalive_s: int = 30, **options: Callable[[], bool]) -> Iterator[Uplink]:
    link = Link(host="127.0.0.1", port=port, tls=None, username=None, password=None, keepalive_s=keepalive_s)
    one = Uplink(device=DEVICE, link=link, outbox=outbox, presence=presence, monotonic=time.monotonic, **options)
    one.start()
    try:
        yield one
    finally:
        one.stop()


def pumped(one: Uplink, done: Callable[[], object], timeout_s: float = 20.0) -> bool:
    """Pump as the agent does, only faster, until something is true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        one.pump()
        if done():
            return True
        time.sleep(0.005)
    return False


def all_away(outbox: Outbox) -> bool:
    return not any(outbox.waiting(lane) for lane in Lane)


def declare(outbox: Outbox) -> None:
    """Declare the losses, as the agent does."""
    lost = outbox.undeclared()
    outbox.put(
        [records.encode(a_loss(g.first_seq, g.last_seq, lane=g.lane, stream=g.stream)) for g in lost], declared=lost
    )


@pytest.mark.parametrize(("versions", "used"), [({4, 5}, [5]), ({4}, [5, 4])])
def test_mqtt_5_is_used_where_the_broker_supports_it_and_3_1_1_elsewhere(
    outbox: Outbox, versions: set[int], used: list[int]
) -> None:
    outbox.put([records.encode(a_finding())])
    outbox.buffer(a_chunk())
    with ScriptedBroker(versions=frozenset(versions)) as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: all_away(outbox))
        broker.drop()
        outbox.put([records.encode(a_finding())])
        assert pumped(one, lambda: all_away(outbox))
    assert broker.connects == [*used, used[-1]], "the next connection starts with the version that worked"
    assert one.sent_bytes > sum(broker.sizes)


def test_a_broker_of_3_1_1_that_does_not_answer_mqtt_5_is_tried_with_3_1_1(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As amqtt."""
    monkeypatch.setattr("edge_agent.uplink.mqtt_connection.PROBE_WITHIN_S", 0.2)
    outbox.put([records.encode(a_finding())])
    with ScriptedBroker(silent_to=frozenset({5})) as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: all_away(outbox))
    assert broker.connects == [5, 4]


def test_messages_are_split_to_the_brokers_maximum_packet_size(outbox: Outbox) -> None:
    outbox.put([records.encode(a_finding(reason="x" * 1500)) for _ in range(40)])
    with ScriptedBroker(packet_bytes=6000) as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: all_away(outbox))
    assert len(broker.sizes) >= 40 * 2000 / 6000
    assert max(broker.sizes) <= 6000


def test_a_record_larger_than_the_brokers_maximum_packet_is_quarantined_at_once(outbox: Outbox) -> None:
    outbox.put([records.encode(a_finding()), records.encode(a_finding(reason="x" * 1990)), records.encode(a_finding())])
    with ScriptedBroker(packet_bytes=1800) as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: outbox.undeclared())
        declare(outbox)
        assert pumped(one, lambda: all_away(outbox))
    assert outbox.quarantined() == [(Lane.FINDINGS, 2, TOO_LARGE)]
    assert broker.taken[Lane.FINDINGS][2] == b"lost"


def test_a_broker_with_a_tiny_maximum_packet_is_not_used_and_no_record_is_lost(
    outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put([records.encode(a_finding()), records.encode(a_loss(1, 2))])
    with ScriptedBroker(packet_bytes=700) as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: "nothing can be sent" in caplog.text)
        broker.drop()
        assert pumped(one, lambda: len(broker.connects) > 1)
        assert broker.sizes == []
        broker.packet_bytes = None
        broker.drop()
        assert pumped(one, lambda: outbox.waiting(Lane.FINDINGS) == 0)
    assert caplog.text.count("nothing can be sent") == 1
    assert outbox.quarantined() == []


def test_a_loss_larger_than_the_maximum_packet_stays_pending_and_does_not_block_the_thread(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox.put([records.encode(a_loss(1, 2)) + b" " * 4000])
    with ScriptedBroker(packet_bytes=1800) as broker, sending(outbox, broker.port) as one:
        pumped(one, lambda: one.connected)
        monkeypatch.setattr(one, "_send_losses", lambda: None)  # it checks no size
        one.pump()
    assert outbox.waiting(Lane.FINDINGS) == 1


def test_a_new_stream_is_sent_from_its_beginning_in_the_same_connection(outbox: Outbox) -> None:
    outbox.put([records.encode(a_finding())] * 5)
    with ScriptedBroker() as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: all_away(outbox))
        outbox.start_new_store("database disk image is malformed")
        one.start_new_store(outbox)
        assert one.left_up_to(Lane.FINDINGS) == 0
        outbox.put([records.encode(a_finding())])
        sent = len(broker.sizes)
        assert pumped(one, lambda: len(broker.sizes) > sent, timeout_s=5.0)


def test_a_record_on_which_the_broker_ends_every_connection_is_quarantined_and_the_others_arrive(
    outbox: Outbox,
) -> None:
    """The broker gives no reason (MQTT 3.1.1): the only sign is that the link ends each time after this record."""
    small, large = records.encode(a_finding()), records.encode(an_evidence(values=[1.0] * 9000))
    outbox.put([small, small, large, small])
    outbox.buffer(a_chunk())
    broker = ScriptedBroker(versions=frozenset({4}), ends_on=lambda _topic, payload: len(payload) > 30_000)
    with broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: outbox.undeclared())
        declare(outbox)
        assert pumped(one, lambda: all_away(outbox))
    assert outbox.quarantined() == [(Lane.FINDINGS, 3, ENDS_LINKS)]
    assert sorted(broker.taken[Lane.FINDINGS]) == [1, 2, 3, 4, 5]
    assert len(broker.connects) < 30


def test_a_small_record_on_which_the_broker_ends_every_connection_does_not_block_its_lane(outbox: Outbox) -> None:
    """The link is up without it and ends with it, repeatedly: an unstable link would end without it too."""
    outbox.put([records.encode(a_finding(reason=reason)) for reason in ("fine", "poison", "fine", "fine")])
    outbox.buffer(a_chunk())
    broker = ScriptedBroker(ends_on=lambda _topic, payload: b"poison" in payload)
    with broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: outbox.undeclared())
        declare(outbox)
        assert pumped(one, lambda: all_away(outbox))
    assert outbox.quarantined() == [(Lane.FINDINGS, 2, ENDS_LINKS)]
    assert sorted(broker.taken[Lane.FINDINGS]) == [1, 2, 3, 4, 5]
    assert len(broker.connects) < 12


def test_two_records_that_end_links_one_in_each_lane_block_neither(outbox: Outbox) -> None:
    """A link that one of them ends does not clear the other."""
    outbox.put([records.encode(a_finding(reason=reason)) for reason in ("fine", "poison", "fine")])
    for number in range(3):
        outbox.buffer(a_chunk(number * 60.0))
    bad = outbox.after(Lane.TELEMETRY, 1, 1)[0][1]
    broker = ScriptedBroker(ends_on=lambda _topic, payload: b"poison" in payload or bad in payload)
    with broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: len(outbox.quarantined()) == 2)
        declare(outbox)
        assert pumped(one, lambda: all_away(outbox))
    assert sorted(outbox.quarantined()) == [(Lane.FINDINGS, 2, ENDS_LINKS), (Lane.TELEMETRY, 2, ENDS_LINKS)]


@pytest.mark.parametrize("size", [10, 9000])
def test_an_unstable_link_quarantines_no_record_and_delivers_it_in_the_end(outbox: Outbox, size: int) -> None:
    """It is up for the presence message and not much longer, whatever else is sent."""
    outbox.put([records.encode(an_evidence(values=[1.0] * size))])
    bad = True
    broker = ScriptedBroker(ends_on=lambda name, _payload: bad and name.endswith("findings"))
    with broker, sending(outbox, broker.port) as one:

        def after_a_drop(done: bool) -> bool:
            if one.connected and one._monotonic() - one._messages._connected_at_s > messages_in_flight.QUIET_S / 2:
                broker.drop()
            return done

        assert pumped(one, lambda: after_a_drop(len(broker.connects) > 30))
        assert outbox.quarantined() == []
        bad = False
        assert pumped(one, lambda: after_a_drop(all_away(outbox))), "although no link is up for long"


@pytest.mark.parametrize(("after_s", "strikes"), [(messages_in_flight.ENDS_WITHIN_S / 2, 1), (45.0, 0)])
def test_only_a_link_that_ends_soon_after_a_message_counts_against_it(
    outbox: Outbox, after_s: float, strikes: int
) -> None:
    link = Link(host="127.0.0.1", port=1, tls=None, username=None, password=None, keepalive_s=30)
    one = Uplink(device=DEVICE, link=link, outbox=outbox, presence=presence, monotonic=lambda: 0.0)
    one._messages._unacknowledged[2] = MessageInFlight(Lane.FINDINGS, 1, 1, 50_000, at_s=100.0)
    one._handle(Acknowledged(1, "", at_s=101.0))
    one._handle(Disconnected(too_large=False, at_s=101.0 + after_s))
    assert one._lanes[Lane.FINDINGS].poison.strikes == strikes


def test_messages_shrink_for_a_broker_that_ends_connections_on_large_ones(outbox: Outbox) -> None:
    outbox.put([records.encode(a_finding(reason="x" * 1900)) for _ in range(30)])
    broker = ScriptedBroker(versions=frozenset({4}), ends_on=lambda _topic, payload: len(payload) > 20_000)
    with broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: all_away(outbox))
    assert outbox.quarantined() == []
    assert len(broker.taken[Lane.FINDINGS]) == 30


def test_a_record_that_the_cloud_never_acknowledges_is_quarantined(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane_in_flight, "ACK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(uplink_module, "ACK_TIMEOUT_S", 0.05)
    outbox.put([records.encode(a_finding())] * 5)
    broker = ScriptedBroker(unread=lambda lane, seq: (lane, seq) == (Lane.FINDINGS, 3))
    with broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: outbox.undeclared())
        declare(outbox)
        assert pumped(one, lambda: all_away(outbox))
    assert outbox.quarantined() == [(Lane.FINDINGS, 3, NOT_ACCEPTED)]


def test_a_record_behind_a_gap_is_not_quarantined_for_the_missing_ones(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cloud answers each time and waits for the declared loss that closes the gap."""
    monkeypatch.setattr(lane_in_flight, "ACK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(uplink_module, "ACK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(uplink_module, "BACKOFF_MAX_S", 0.02)
    outbox.put([records.encode(a_finding())] * 3)
    outbox.quarantine(Lane.FINDINGS, 1, TOO_LARGE)
    with ScriptedBroker() as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: len(broker.sizes) > 30)
        assert outbox.quarantined() == [(Lane.FINDINGS, 1, TOO_LARGE)]
        declare(outbox)
        assert pumped(one, lambda: all_away(outbox))


def test_nothing_is_quarantined_while_the_cloud_does_not_answer(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker is up and the cloud is not, for a weekend: records are sent repeatedly, and none is the cause."""
    monkeypatch.setattr(lane_in_flight, "ACK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(uplink_module, "ACK_TIMEOUT_S", 0.01)
    monkeypatch.setattr(uplink_module, "BACKOFF_MAX_S", 0.02)
    outbox.put([records.encode(a_finding())] * 5)
    outbox.buffer(a_chunk())
    with ScriptedBroker(acknowledges=False) as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: len(broker.sizes) > 60)
        broker.acknowledges = True
        assert pumped(one, lambda: all_away(outbox))
    assert outbox.quarantined() == []


def test_records_not_acknowledged_in_time_are_sent_again(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_in_flight, "ACK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(uplink_module, "ACK_TIMEOUT_S", 0.05)
    outbox.put([records.encode(a_finding())])
    with ScriptedBroker(acknowledges=False) as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: len(broker.sizes) >= 3)
        broker.acknowledges = True
        assert pumped(one, lambda: all_away(outbox))
    assert list(broker.taken[Lane.FINDINGS]) == [1]


def test_a_backlog_is_rate_limited_and_does_not_delay_findings_or_new_records(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "BACKLOG_BYTES_PER_S", 1.0)
    for _ in range(300):
        outbox.buffer(a_chunk())
    outbox.put([records.encode(a_finding())])
    with ScriptedBroker() as broker, sending(outbox, broker.port) as one:
        one._rate_limiter.burst_bytes = 2000.0
        assert pumped(one, lambda: outbox.waiting(Lane.FINDINGS) == 0)
        assert broker.order[0] is Lane.FINDINGS
        pumped(one, lambda: False, timeout_s=0.3)
        assert 0 < len(broker.taken[Lane.TELEMETRY]) < 300, "the burst was sent, the rest is delayed"
        outbox.put([records.encode(a_finding())])
        assert pumped(one, lambda: outbox.waiting(Lane.FINDINGS) == 0), "a new finding is not delayed"
        one._rate_limiter.bytes_per_s = 1e9
        assert pumped(one, lambda: all_away(outbox))


def test_a_backlog_without_dates_waits_a_minute_for_the_clock_and_new_records_do_not(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    undated = True
    outbox.put([records.encode(a_finding())])
    with ScriptedBroker() as broker, sending(outbox, broker.port, undated=lambda: undated) as one:
        outbox.buffer(a_chunk())
        assert not pumped(one, lambda: broker.taken[Lane.FINDINGS], timeout_s=0.3)
        undated = False
        assert pumped(one, lambda: all_away(outbox))


def test_a_connection_publishes_online_and_going_down_and_leaves_no_thread(outbox: Outbox) -> None:
    before = threading.active_count()
    with ScriptedBroker() as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: one.connected)
        ours = [thread.name for thread in threading.enumerate() if DEVICE in thread.name]
        assert len(ours) == 2
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [thread.name for thread in threading.enumerate() if DEVICE in thread.name]


def test_an_answer_that_is_no_mqtt_does_not_end_the_connections_thread(outbox: Outbox) -> None:
    link = Link(host="127.0.0.1", port=1, tls=None, username=None, password=None, keepalive_s=5)
    one = Uplink(device=DEVICE, link=link, outbox=outbox, presence=presence, monotonic=time.monotonic)
    one.start()
    assert isinstance(one._connection, Connection)
    assert not pumped(one, lambda: one.connected, timeout_s=0.2)
    assert one._connection._thread.is_alive()
    one.stop()


def test_a_session_whose_thread_can_not_start_is_retried(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    start, failures = mqtt.Client.loop_start, iter([RuntimeError("can't start new thread")])

    def loop_start(client: mqtt.Client) -> object:
        if failure := next(failures, None):
            raise failure
        return start(client)

    monkeypatch.setattr(mqtt.Client, "loop_start", loop_start)
    outbox.put([records.encode(a_finding())])
    with ScriptedBroker() as broker, sending(outbox, broker.port) as one:
        assert pumped(one, lambda: all_away(outbox))


@given(st.lists(st.integers(1, 150_000), min_size=1, max_size=20), st.sets(st.integers(1, 20)))
def test_a_message_holds_consecutive_records_within_its_size_and_always_at_least_one(
    sizes: list[int], gaps: set[int]
) -> None:
    batch = [(seq, bytes(size)) for seq, size in enumerate(sizes, start=1) if seq not in gaps]
    run = _cut_to_message(batch, MESSAGE_BYTES)
    assert run == batch[: len(run)]
    assert bool(run) == bool(batch)
    assert [seq for seq, _ in run] == list(range(run[0][0], run[0][0] + len(run))) if run else True
    assert len(run) <= 1 or sum(len(body) for _, body in run) <= MESSAGE_BYTES
