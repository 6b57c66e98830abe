"""The uplink's pure parts; its journeys over a broker are in tests/journeys."""

import random

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.agent import _next_due
from edge_agent.uplink import BACKOFF_MAX_S, MESSAGE_BYTES, STABLE_AFTER_S, Backoff, _run


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


@given(st.lists(st.integers(1, 150_000), min_size=1, max_size=20), st.sets(st.integers(1, 20)))
def test_a_message_holds_consecutive_records_within_its_size_and_always_at_least_one(
    sizes: list[int], gaps: set[int]
) -> None:
    batch = [(seq, bytes(size)) for seq, size in enumerate(sizes, start=1) if seq not in gaps]
    run = _run(batch)
    assert run == batch[: len(run)]
    assert bool(run) == bool(batch)
    assert [seq for seq, _ in run] == list(range(run[0][0], run[0][0] + len(run))) if run else True
    assert len(run) <= 1 or sum(len(body) for _, body in run) <= MESSAGE_BYTES


@given(st.floats(0, 1e6), st.floats(0, 1000), st.sampled_from([0.1, 1.0, 60.0]))
def test_the_schedule_does_not_drift_and_never_makes_up_for_lost_samples(
    due_s: float, late_s: float, period_s: float
) -> None:
    due_next = _next_due(due_s, due_s + late_s, period_s)
    assert due_next > due_s + late_s - 1e-6 * max(1.0, due_s)
    assert due_next <= due_s + late_s + period_s * (1 + 1e-6) + 1e-6 * max(1.0, due_s)
