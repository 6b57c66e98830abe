"""The alarm: ten seconds above to open, ten below to end; a large fault leaves the bar raised for minutes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.machine.alarm import HOLD_S, PEAK_HALF_LIFE_S, Alarm


def steps(alarm: Alarm, score: float, seconds: int) -> bool:
    for _ in range(seconds):
        alarm.step(score)
    return alarm.open


def test_it_opens_after_ten_seconds_above_the_bar() -> None:
    alarm = Alarm()

    assert not steps(alarm, 1.5, HOLD_S - 1)
    assert steps(alarm, 1.5, 1)


def test_a_second_below_the_bar_starts_the_count_again() -> None:
    alarm = Alarm()
    steps(alarm, 1.5, HOLD_S - 1)
    alarm.step(0.5)

    assert not steps(alarm, 1.5, HOLD_S - 1)


def test_it_ends_after_ten_seconds_below() -> None:
    alarm = Alarm()
    steps(alarm, 1.5, HOLD_S)

    assert steps(alarm, 0.5, HOLD_S - 1)
    assert not steps(alarm, 0.5, 1)


def test_it_does_not_end_just_below_the_bar() -> None:
    alarm = Alarm()
    steps(alarm, 1.5, HOLD_S)

    assert steps(alarm, 0.9, 60)


def test_after_a_large_fault_a_machine_that_is_almost_as_before_is_healthy() -> None:
    alarm = Alarm()
    steps(alarm, 100.0, 60)

    assert not steps(alarm, 3.0, HOLD_S)
    assert not steps(alarm, 3.0, 60)


def test_the_raised_bar_decays() -> None:
    alarm = Alarm()
    steps(alarm, 100.0, 60)
    steps(alarm, 0.0, int(4 * PEAK_HALF_LIFE_S))

    assert steps(alarm, 1.5, HOLD_S)


def test_an_alarm_that_was_open_is_resumed() -> None:
    alarm = Alarm()
    alarm.resume()

    assert alarm.step(0.0)
    assert not steps(alarm, 0.0, HOLD_S)


@given(st.lists(st.floats(0, 1e6), max_size=80))
def test_the_bar_is_never_below_one_and_state_survives(scores: list[float]) -> None:
    alarm, other = Alarm(), Alarm()
    for score in scores:
        alarm.step(score)
    other.restore_state(alarm.export_state())

    assert other.raised == alarm.raised >= 1


@pytest.mark.parametrize("raised", [None, "2", 0.5, float("nan"), float("inf")])
def test_a_bad_state_is_refused(raised: object) -> None:
    with pytest.raises(ValueError, match="raised"):
        Alarm().restore_state({"raised": raised})
