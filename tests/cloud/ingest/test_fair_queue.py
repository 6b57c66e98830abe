"""Who is next: presence, findings, telemetry; each device in its turn; nobody takes more room than is his."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.ingest.counters import Dropped, Tally
from cloud.ingest.fair_queue import BURST_S, MESSAGE_COST, READING_SHARE, Arrivals, Limits, Message
from edge_agent.protocol.topics import Channel, topic

PLENTY = Limits(waiting=1 << 40, device_waiting=1 << 40, device_bytes_s=1e12)


def a_message(device: str, channel: Channel, payload: bytes = b"") -> Message:
    return Message(topic(device, channel), payload)


def waiting(limits: Limits = PLENTY, tally: Tally | None = None, uptime_s: list[float] | None = None) -> Arrivals:
    clock = uptime_s or [0.0]
    return Arrivals(limits, tally or Tally(), monotonic=lambda: clock[0])


def emptied(arrivals: Arrivals) -> list[tuple[str, str, bytes]]:
    taken = []
    while not arrivals.empty():
        message = arrivals.get_nowait()
        _, _, device, channel = message.topic.split("/")
        taken.append((device, channel, message.payload))
    return taken


def test_presence_comes_before_findings_and_findings_before_telemetry() -> None:
    arrivals = waiting()
    for channel in (Channel.TELEMETRY, Channel.FINDINGS, Channel.PRESENCE):
        arrivals.put_nowait(a_message("pump-07", channel))
    assert [channel for _, channel, _ in emptied(arrivals)] == ["presence", "findings", "telemetry"]


def test_a_device_that_sends_much_waits_behind_itself_and_not_in_front_of_others() -> None:
    arrivals = waiting()
    for number in range(100):
        arrivals.put_nowait(a_message("loud", Channel.TELEMETRY, bytes([number])))
    arrivals.put_nowait(a_message("pump-07", Channel.TELEMETRY))
    devices = [device for device, _, _ in emptied(arrivals)]
    assert devices[:3] == ["loud", "pump-07", "loud"]


def test_of_a_device_that_comes_and_goes_only_the_last_word_waits() -> None:
    tally = Tally()
    arrivals = waiting(tally=tally)
    for word in (b"online", b"offline", b"online again"):
        arrivals.put_nowait(a_message("pump-07", Channel.PRESENCE, word))
    assert emptied(arrivals) == [("pump-07", "presence", b"online again")]
    assert tally.dropped == {Dropped.OUTDATED: 2}
    assert tally.report(0.0) == []


def test_what_is_too_much_of_one_device_is_dropped_and_counted_and_the_others_have_room() -> None:
    tally = Tally()
    arrivals = waiting(replace(PLENTY, device_waiting=4 * MESSAGE_COST), tally)
    for _ in range(5):
        arrivals.put_nowait(a_message("loud", Channel.TELEMETRY))
    arrivals.put_nowait(a_message("pump-07", Channel.TELEMETRY))
    assert Counter(device for device, _, _ in emptied(arrivals)) == {"loud": 3, "pump-07": 1}
    assert tally.dropped == {Dropped.DEVICE_FULL: 2}


def test_all_that_waits_is_bounded() -> None:
    tally = Tally()
    arrivals = waiting(replace(PLENTY, waiting=10 * MESSAGE_COST), tally)
    for number in range(20):
        arrivals.put_nowait(a_message(f"pump-{number}", Channel.PRESENCE if number % 2 else Channel.FINDINGS))
    assert arrivals.qsize() == 10
    assert tally.dropped == {Dropped.FULL: 10}


def test_a_device_may_burst_and_then_send_at_its_rate() -> None:
    tally, uptime_s = Tally(), [50.0]
    arrivals = waiting(replace(PLENTY, device_bytes_s=MESSAGE_COST), tally, uptime_s)
    for _ in range(40):
        arrivals.put_nowait(a_message("loud", Channel.FINDINGS))
    assert arrivals.qsize() == BURST_S
    assert tally.dropped == {Dropped.TOO_FAST: 10}
    uptime_s[0] += 2.0
    for _ in range(4):
        arrivals.put_nowait(a_message("loud", Channel.FINDINGS))
    assert arrivals.qsize() == BURST_S + 2


def test_the_time_that_it_took_to_read_a_device_counts_towards_its_rate() -> None:
    tally, uptime_s = Tally(), [50.0]
    arrivals = waiting(replace(PLENTY, device_bytes_s=MESSAGE_COST), tally, uptime_s)
    arrivals.put_nowait(a_message("slow", Channel.FINDINGS))
    arrivals.charge("slow", BURST_S * READING_SHARE)
    for device in ("slow", "pump-07"):
        arrivals.put_nowait(a_message(device, Channel.FINDINGS))
    assert [device for device, _, _ in emptied(arrivals)] == ["slow", "pump-07"]
    assert tally.dropped == {Dropped.TOO_FAST: 1}


@pytest.mark.parametrize(
    "limits",
    [
        replace(PLENTY, waiting=8 * MESSAGE_COST),
        replace(PLENTY, device_waiting=8 * MESSAGE_COST),
        replace(PLENTY, device_bytes_s=8 * MESSAGE_COST / BURST_S),
    ],
)
def test_findings_and_presence_find_room_where_telemetry_has_none(limits: Limits) -> None:
    arrivals = waiting(limits, uptime_s=[50.0])
    for channel in (*[Channel.TELEMETRY] * 9, Channel.FINDINGS, Channel.PRESENCE):
        arrivals.put_nowait(a_message("pump-07", channel))
    assert Counter(channel for _, channel, _ in emptied(arrivals)) == {"telemetry": 6, "findings": 1, "presence": 1}


MESSAGES = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([Channel.FINDINGS, Channel.TELEMETRY])))


@given(MESSAGES)
def test_nothing_that_was_let_in_is_lost_and_each_device_keeps_its_order(said: list[tuple[str, Channel]]) -> None:
    arrivals = waiting()
    sent = [(device, channel.value, bytes([number % 256])) for number, (device, channel) in enumerate(said)]
    for device, channel, payload in sent:
        arrivals.put_nowait(a_message(device, Channel(channel), payload))
    taken = emptied(arrivals)
    assert Counter(taken) == Counter(sent)
    for stream in {each[:2] for each in sent}:
        assert [each for each in taken if each[:2] == stream] == [each for each in sent if each[:2] == stream]
