"""Backoff: reconnects are spread over time, and only a stable link resets the wait."""

import random

from edge_agent.uplink.backoff import BACKOFF_MAX_S, STABLE_AFTER_S, Backoff


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
    """thin-edge.io and others: a duplicate client id caused a reconnect storm, since each CONNACK reset the wait."""
    backoff = Backoff(random.Random(1))
    waits = [backoff.next_s(link_held_s=0.3) for _ in range(50)]
    assert max(waits) > 60
    backoff.next_s(link_held_s=STABLE_AFTER_S)
    assert backoff._ceiling_s <= 10
