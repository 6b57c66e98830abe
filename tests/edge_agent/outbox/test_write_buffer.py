"""The write buffer: telemetry in memory is written to disk when it is due, and not before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.outbox import write_buffer
from edge_agent.outbox.write_buffer import LINK_DOWN_S, WriteBuffer


def test_while_the_link_is_up_it_is_due_at_the_interval_only() -> None:
    one = WriteBuffer()
    assert not one.is_due(0.0, 900.0, connected=True)
    one.add(1, b"a batch")
    assert not one.is_due(1.0, 900.0, connected=True)
    assert not one.is_due(900.0, 900.0, connected=True)
    assert one.is_due(901.0, 900.0, connected=True)


def test_a_link_that_stays_down_makes_it_due_until_it_is_written_once() -> None:
    one = WriteBuffer()
    one.add(1, b"a batch")
    assert not one.is_due(0.0, 900.0, connected=False)
    assert one.is_due(LINK_DOWN_S, 900.0, connected=False)
    assert one.is_due(LINK_DOWN_S + 1, 900.0, connected=False), "the write failed"
    one.mark_written()
    one.add(2, b"another")
    assert not one.is_due(LINK_DOWN_S + 2, 900.0, connected=False), "now the interval counts"
    one.is_due(LINK_DOWN_S + 3, 900.0, connected=True)
    assert not one.is_due(LINK_DOWN_S + 4, 900.0, connected=False)
    assert one.is_due(LINK_DOWN_S + 4 + LINK_DOWN_S, 900.0, connected=False), "another outage"


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "remove up to", "replace", "drop oldest"]), st.integers(0, 30))
    )
)
def test_its_size_is_always_that_of_its_records(actions: list[tuple[str, int]]) -> None:
    one, newest = WriteBuffer(), 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(write_buffer, "MAX_BYTES", 60)
        for what, number in actions:
            if what == "add":
                newest += 1
                one.add(newest, bytes(number))
            elif what == "remove":
                one.remove(number)
            elif what == "remove up to":
                one.remove_up_to(number)
            elif what == "replace":
                one.replace({seq: bytes(number) for seq, _ in one.above(number)})
            else:
                one.drop_oldest()
                assert not one.is_full
            assert one.size == sum(map(len, one.records.values()))
            assert one.above(0) == sorted(one.records.items()), "in order"
            assert not set(one.dropped) & set(one.records)
