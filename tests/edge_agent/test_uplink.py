"""The uplink's pure parts; its journeys over a broker are in tests/journeys."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.agent import _next_due
from edge_agent.pacing import MESSAGE_BYTES
from edge_agent.uplink import _run


@given(st.lists(st.integers(1, 150_000), min_size=1, max_size=20), st.sets(st.integers(1, 20)))
def test_a_message_holds_consecutive_records_within_its_size_and_always_at_least_one(
    sizes: list[int], gaps: set[int]
) -> None:
    batch = [(seq, bytes(size)) for seq, size in enumerate(sizes, start=1) if seq not in gaps]
    run = _run(batch, MESSAGE_BYTES)
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
