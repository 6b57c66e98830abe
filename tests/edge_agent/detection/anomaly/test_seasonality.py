"""The daily profile of each channel."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.anomaly.seasonality import Daily

STEP_S = 600.0
DAY = 144


def a_daily(channels: int = 2) -> Daily:
    daily = Daily(STEP_S)
    daily.allocate(channels)
    return daily


def night_work(daily: Daily, days: int) -> None:
    """The first channel is 6 above its mean from two to four in the morning, the second is where it always is."""
    for row in range(days * DAY):
        time_s = row * STEP_S
        away = 6.0 if 2 <= time_s % 86_400 / 3600 < 4 else 0.0
        daily.learn(np.array([away, 0.0]), time_s)


def test_the_daily_profile_is_learned_within_a_few_days() -> None:
    daily = a_daily()
    night_work(daily, 6)
    assert daily.usual(3 * 3600.0) == pytest.approx([6.0, 0.0], abs=0.2)
    assert daily.usual(12 * 3600.0) == pytest.approx([0.0, 0.0], abs=0.01)


def test_one_day_has_a_weight_of_one_half() -> None:
    daily = a_daily()
    night_work(daily, 1)
    assert daily.usual(3 * 3600.0)[0] == pytest.approx(3.0, abs=0.1)


def test_the_profile_is_interpolated_between_hours() -> None:
    daily = a_daily()
    night_work(daily, 6)
    usual = [daily.usual(3600.0 * hour)[0] for hour in np.arange(1.5, 2.51, 0.25)]
    assert np.diff(usual) == pytest.approx([1.5] * 4, abs=0.1)


def test_the_time_may_count_from_any_midnight() -> None:
    daily = a_daily()
    night_work(daily, 3)
    assert daily.usual(3 * 3600.0 + 20_000 * 86_400) == pytest.approx(daily.usual(3 * 3600.0))
    assert daily.usual(0.0) == pytest.approx(daily.usual(86_400.0))


def test_without_a_clock_nothing_is_learned_and_there_is_no_profile() -> None:
    daily = a_daily()
    night_work(daily, 3)
    before = daily.export_state(["a", "b"])
    daily.learn(np.array([100.0, 100.0]), None)
    assert daily.export_state(["a", "b"]) == before
    assert daily.usual(None).tolist() == [0.0, 0.0]


def test_a_missing_channel_learns_nothing_and_a_new_one_has_no_profile_yet() -> None:
    daily = a_daily()
    night_work(daily, 3)
    before = daily.usual(3 * 3600.0)
    daily.learn(np.array([math.nan, math.nan]), 3 * 3600.0)
    daily.allocate(3)
    assert daily.usual(3 * 3600.0).tolist() == [*before, 0.0]


def test_the_learned_state_survives_a_reboot_except_its_last_digits() -> None:
    one, other = a_daily(), a_daily(0)
    night_work(one, 3)
    state = json.loads(json.dumps(one.export_state(["a", "b"])))
    other.restore_state(state, ["a", "b"])
    assert other.export_state(["a", "b"]) == state
    assert other.usual(3 * 3600.0) == pytest.approx(one.usual(3 * 3600.0), rel=1e-5)


@pytest.mark.parametrize("state", [{}, {"a": [1.0]}, {"a": ["x"] * 24}, {"a": [math.nan] * 24}])
def test_a_broken_state_is_refused_and_changes_nothing(state: dict[str, object]) -> None:
    daily = a_daily(1)
    before = daily.export_state(["a"])
    with pytest.raises(ValueError, match="daily: "):
        daily.restore_state(state, ["a"])
    assert daily.export_state(["a"]) == before


@given(st.floats(-1e9, 1e12))
def test_there_is_an_hour_for_every_time(time_s: float) -> None:
    daily = a_daily()
    daily.learn(np.ones(2), time_s)
    assert np.isfinite(daily.usual(time_s)).all()
