"""Who is next: presence, findings, telemetry; each device in its turn; nobody takes more room than is his."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.counters import Counters, DropReason
from cloud.ingest.fair_queue import BURST_S, MESSAGE_COST, PARSING_SHARE, FairQueue, Limits, QueuedMessage
from edge_agent.protocol.topics import Channel, topic

PLENTY = Limits(waiting=1 << 40, device_waiting=1 << 40, device_bytes_s=1e12)


def a_message(device: str, channel: Channel, payload: bytes = b"") -> QueuedMessage:
    return QueuedMessage.of(topic(device, channel), payload)


def waiting(
    limits: Limits = PLENTY, counters: Counters | None = None, uptime_s: list[float] | None = None
) -> FairQueue:
    clock = uptime_s or [0.0]
    return FairQueue(limits, counters or Counters(), monotonic=lambda: clock[0])


def emptied(queue: FairQueue) -> list[tuple[str, str, bytes]]:
    taken = []
    while not queue.empty():
        message = queue.get_nowait()
        _, _, device, channel = message.topic.split("/")
        taken.append((device, channel, message.payload))
    return taken


def test_presence_comes_before_findings_and_findings_before_telemetry() -> None:
    queue = waiting()
    for channel in (Channel.TELEMETRY, Channel.FINDINGS, Channel.PRESENCE):
        queue.put_nowait(a_message("pump-07", channel))
    assert [channel for _, channel, _ in emptied(queue)] == ["presence", "findings", "telemetry"]


def test_a_device_that_sends_much_waits_behind_itself_and_not_in_front_of_others() -> None:
    queue = waiting()
    for number in range(100):
        queue.put_nowait(a_message("loud", Channel.TELEMETRY, bytes([number])))
    queue.put_nowait(a_message("pump-07", Channel.TELEMETRY))
    devices = [device for device, _, _ in emptied(queue)]
    assert devices[:3] == ["loud", "pump-07", "loud"]


def test_of_a_device_that_comes_and_goes_only_the_last_word_waits() -> None:
    counters = Counters()
    queue = waiting(counters=counters)
    for word in (b"online", b"offline", b"online again"):
        queue.put_nowait(a_message("pump-07", Channel.PRESENCE, word))
    assert emptied(queue) == [("pump-07", "presence", b"online again")]
    assert counters.dropped == {DropReason.OUTDATED: 2}
    assert counters.report(0.0) == []


def test_the_excess_of_one_device_is_dropped_and_counted_and_the_others_keep_their_share() -> None:
    counters = Counters()
    queue = waiting(replace(PLENTY, device_waiting=4 * MESSAGE_COST), counters)
    for _ in range(5):
        queue.put_nowait(a_message("loud", Channel.TELEMETRY))
    queue.put_nowait(a_message("pump-07", Channel.TELEMETRY))
    assert Counter(device for device, _, _ in emptied(queue)) == {"loud": 3, "pump-07": 1}
    assert counters.dropped == {DropReason.DEVICE_FULL: 2}


def test_all_that_waits_is_bounded() -> None:
    counters = Counters()
    queue = waiting(replace(PLENTY, waiting=10 * MESSAGE_COST), counters)
    for number in range(20):
        queue.put_nowait(a_message(f"pump-{number}", Channel.PRESENCE if number % 2 else Channel.FINDINGS))
    assert queue.qsize() == 10
    assert counters.dropped == {DropReason.FULL: 10}


def test_a_device_may_burst_and_then_send_at_its_rate() -> None:
    counters, uptime_s = Counters(), [50.0]
    queue = waiting(replace(PLENTY, device_bytes_s=MESSAGE_COST), counters, uptime_s)
    for _ in range(40):
        queue.put_nowait(a_message("loud", Channel.FINDINGS))
    assert queue.qsize() == BURST_S
    assert counters.dropped == {DropReason.TOO_FAST: 10}
    uptime_s[0] += 2.0
    for _ in range(4):
        queue.put_nowait(a_message("loud", Channel.FINDINGS))
    assert queue.qsize() == BURST_S + 2


def test_the_time_that_it_took_to_read_a_device_counts_towards_its_rate() -> None:
    counters, uptime_s = Counters(), [50.0]
    queue = waiting(replace(PLENTY, device_bytes_s=MESSAGE_COST), counters, uptime_s)
    queue.put_nowait(a_message("slow", Channel.FINDINGS))
    queue.charge("slow", BURST_S * PARSING_SHARE)
    for device in ("slow", "pump-07"):
        queue.put_nowait(a_message(device, Channel.FINDINGS))
    assert [device for device, _, _ in emptied(queue)] == ["slow", "pump-07"]
    assert counters.dropped == {DropReason.TOO_FAST: 1}


@pytest.mark.parametrize(
    "limits",
    [
        replace(PLENTY, waiting=8 * MESSAGE_COST),
        replace(PLENTY, device_waiting=8 * MESSAGE_COST),
        replace(PLENTY, device_bytes_s=8 * MESSAGE_COST / BURST_S),
    ],
)
def test_findings_and_presence_find_room_where_telemetry_has_none(limits: Limits) -> None:
    queue = waiting(limits, uptime_s=[50.0])
    for channel in (*[Channel.TELEMETRY] * 9, Channel.FINDINGS, Channel.PRESENCE):
        queue.put_nowait(a_message("pump-07", channel))
    assert Counter(channel for _, channel, _ in emptied(queue)) == {"telemetry": 6, "findings": 1, "presence": 1}


MESSAGES = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([Channel.FINDINGS, Channel.TELEMETRY])))


@given(MESSAGES)
def test_nothing_that_was_let_in_is_lost_and_each_device_keeps_its_order(presence: list[tuple[str, Channel]]) -> None:
    queue = waiting()
    sent = [(device, channel.value, bytes([number % 256])) for number, (device, channel) in enumerate(presence)]
    for device, channel, payload in sent:
        queue.put_nowait(a_message(device, Channel(channel), payload))
    taken = emptied(queue)
    assert Counter(taken) == Counter(sent)
    for stream in {each[:2] for each in sent}:
        assert [each for each in taken if each[:2] == stream] == [each for each in sent if each[:2] == stream]
