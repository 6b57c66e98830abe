"""Pacing: reconnects are spread, a backlog is no flood, and a message that nobody takes is found."""

import random

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.uplink.rate_limit import (
    BACKOFF_MAX_S,
    LEAST_MESSAGE_BYTES,
    MESSAGE_BYTES,
    STABLE_AFTER_S,
    TRIES,
    Backoff,
    Pace,
    Sizes,
    Suspect,
)


def test_the_backoff_grows_to_ten_minutes_and_is_spread_over_the_whole_range() -> None:
    waits = [Backoff(random.Random(seed)) for seed in range(200)]
    first = [backoff.next_s(0) for backoff in waits]
    for _ in range(10):
        last = [backoff.next_s(0) for backoff in waits]
    assert max(first) <= 5
    assert max(last) > 0.9 * BACKOFF_MAX_S
    assert min(last) < 0.1 * BACKOFF_MAX_S
    assert max(last) <= BACKOFF_MAX_S


def test_a_broker_that_kicks_after_accepting_does_not_reset_the_backoff() -> None:
    """thin-edge.io and others: a duplicate client id gave a reconnect storm, since each CONNACK reset the wait."""
    backoff = Backoff(random.Random(1))
    waits = [backoff.next_s(link_held_s=0.3) for _ in range(50)]
    assert max(waits) > 60
    backoff.next_s(link_held_s=STABLE_AFTER_S)
    assert backoff._ceiling_s <= 10


@given(st.lists(st.tuples(st.floats(0.01, 30), st.integers(1, 300_000)), min_size=1, max_size=60))
def test_a_backlog_never_goes_faster_than_its_pace_but_for_one_burst_and_one_message(
    steps: list[tuple[float, int]],
) -> None:
    pace, now_s, sent = Pace(64_000.0), 0.0, 0
    for wait_s, size in steps:
        now_s += wait_s
        if pace.allows(now_s):
            pace.spend(size)
            sent += size
    assert sent <= pace.burst_bytes + 64_000.0 * now_s + 300_000


def test_a_backlog_gets_on_however_large_its_messages_are() -> None:
    pace, sent = Pace(1000.0), 0
    for second in range(1000):
        if pace.allows(float(second)):
            pace.spend(250_000)
            sent += 1
    assert sent >= 4


def test_messages_are_as_large_as_the_broker_says_and_shrink_when_links_end_on_them() -> None:
    sizes = Sizes()
    assert sizes.message_bytes == MESSAGE_BYTES
    sizes.broker_bytes = 10_000
    assert sizes.message_bytes < 10_000
    assert sizes.too_large(10_001)
    assert not sizes.too_large(10_000)
    sizes.broker_bytes = None
    assert not sizes.too_large(1 << 30), "nobody has said so"
    for _ in range(20):
        sizes.shrink(sizes.message_bytes)
    assert sizes.message_bytes == LEAST_MESSAGE_BYTES


def test_a_record_is_enough_after_its_own_tries_and_not_after_those_of_others() -> None:
    suspect = Suspect()
    assert not any(suspect.strike(5) for _ in range(TRIES - 1))
    assert suspect.isolated
    assert not suspect.strike(6), "another record is oldest now: its count begins anew"
    assert not suspect.isolated
    assert [suspect.strike(6) for _ in range(TRIES - 1)][-1]
    suspect.clear(5)
    assert suspect.isolated
    suspect.clear(6)
    assert not suspect.isolated
