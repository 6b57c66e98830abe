"""Held: telemetry in memory is written down when it must be, and no sooner."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.outbox import write_buffer
from edge_agent.outbox.write_buffer import GRACE_S, Held


def test_while_the_link_is_there_it_is_due_at_the_interval_only() -> None:
    one = Held()
    assert not one.is_due(0.0, 900.0, connected=True)
    one.add(1, b"a batch")
    assert not one.is_due(1.0, 900.0, connected=True)
    assert not one.is_due(900.0, 900.0, connected=True)
    assert one.is_due(901.0, 900.0, connected=True)


def test_a_link_that_stays_away_makes_it_due_once_and_again_at_each_try_that_failed() -> None:
    one = Held()
    one.add(1, b"a batch")
    assert not one.is_due(0.0, 900.0, connected=False)
    assert one.is_due(GRACE_S, 900.0, connected=False)
    assert one.is_due(GRACE_S + 1, 900.0, connected=False), "it could not be written"
    one.written()
    one.add(2, b"another")
    assert not one.is_due(GRACE_S + 2, 900.0, connected=False), "now the interval counts"
    one.is_due(GRACE_S + 3, 900.0, connected=True)
    assert not one.is_due(GRACE_S + 4, 900.0, connected=False)
    assert one.is_due(GRACE_S + 4 + GRACE_S, 900.0, connected=False), "another absence"


@given(st.lists(st.tuples(st.sampled_from(["add", "drop", "drop up to", "replace", "too much"]), st.integers(0, 30))))
def test_its_size_is_that_of_what_it_holds_whatever_is_done(actions: list[tuple[str, int]]) -> None:
    one, newest = Held(), 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(write_buffer, "MOST_BYTES", 60)
        for what, number in actions:
            if what == "add":
                newest += 1
                one.add(newest, bytes(number))
            elif what == "drop":
                one.drop(number)
            elif what == "drop up to":
                one.drop_up_to(number)
            elif what == "replace":
                one.replace({seq: bytes(number) for seq, _ in one.above(number)})
            else:
                one.give_up_oldest()
                assert not one.is_too_much
            assert one.size == sum(map(len, one.records.values()))
            assert one.above(0) == sorted(one.records.items()), "in order"
            assert not set(one.given_up) & set(one.records)
