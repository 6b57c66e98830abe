"""Rate and size limits: a backlog does not flood the cloud, and messages shrink to what a link survives."""

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.uplink.rate_limit import LEAST_MESSAGE_BYTES, MESSAGE_BYTES, PacketLimit, RateLimiter


@given(st.lists(st.tuples(st.floats(0.01, 30), st.integers(1, 300_000)), min_size=1, max_size=60))
def test_a_backlog_exceeds_its_rate_by_at_most_one_burst_and_one_message(
    steps: list[tuple[float, int]],
) -> None:
    limiter, now_s, sent = RateLimiter(64_000.0), 0.0, 0
    for wait_s, size in steps:
        now_s += wait_s
        if limiter.allows(now_s):
            limiter.spend(size)
            sent += size
    assert sent <= limiter.burst_bytes + 64_000.0 * now_s + 300_000


def test_a_backlog_progresses_however_large_its_messages_are() -> None:
    limiter, sent = RateLimiter(1000.0), 0
    for second in range(1000):
        if limiter.allows(float(second)):
            limiter.spend(250_000)
            sent += 1
    assert sent >= 4


def test_messages_keep_to_the_brokers_limit_and_shrink_when_links_end_on_them() -> None:
    limit = PacketLimit()
    assert limit.message_bytes == MESSAGE_BYTES
    limit.broker_bytes = 10_000
    assert limit.message_bytes < 10_000
    assert limit.too_large(10_001)
    assert not limit.too_large(10_000)
    limit.broker_bytes = None
    assert not limit.too_large(1 << 30), "the broker has announced no maximum"
    for _ in range(20):
        limit.shrink(limit.message_bytes)
    assert limit.message_bytes == LEAST_MESSAGE_BYTES
