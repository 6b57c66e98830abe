"""The rate of samples: a gap is no rate, a rate is named as it is, and none at the edge is reported again and again."""

import pytest

from edge_agent.detection.machine.sample_rate import SampleRate, Timing


def timings(rate: SampleRate, first_s: float, period_s: float, samples: int) -> list[Timing]:
    return [rate.step(first_s + period_s * number) for number in range(samples)]


@pytest.mark.parametrize("period_s", [2.0, 10.0, 3600.0])
def test_another_rate_is_found_within_half_a_minute_of_samples_and_named(period_s: float) -> None:
    rate = SampleRate()

    found = timings(rate, 0.0, period_s, 30)

    assert found[-1] is Timing.TOO_SLOW
    assert rate.every_s == period_s


def test_a_gap_restarts_the_windows_and_is_no_rate() -> None:
    rate = SampleRate()
    timings(rate, 0.0, 1.0, 60)

    assert rate.step(4000.0) is Timing.IN_TIME
    assert rate.restarts
    assert set(timings(rate, 4001.0, 1.0, 60)) == {Timing.IN_TIME}
    assert not rate.restarts


def test_the_windows_start_anew_when_the_rate_is_right_again() -> None:
    rate = SampleRate()
    timings(rate, 0.0, 2.0, 60)

    restarts = [rate.restarts for second in range(120) if rate.step(120.0 + second) is Timing.IN_TIME]

    assert restarts[0]
    assert not any(restarts[1:])


def test_a_rate_at_the_edge_changes_once() -> None:
    rate, changes, now_s = SampleRate(), 0, 0.0
    for number in range(1000):
        now_s += 1.0 + number % 2
        rate.step(now_s)
        changes += rate.changed

    assert changes <= 1


def test_samples_that_come_too_soon_are_left_out() -> None:
    assert timings(SampleRate(), 0.0, 0.5, 4) == [Timing.IN_TIME, Timing.TOO_SOON, Timing.IN_TIME, Timing.TOO_SOON]
