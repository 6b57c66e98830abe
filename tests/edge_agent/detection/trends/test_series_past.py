"""The past of a series: bins of the last day and week, the same after a restart."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.trends.series_past import COARSE, FINE, SeriesPast

DAY_S = 86_400.0


def a_past(values: np.ndarray[tuple[int], np.dtype[np.float64]], step_s: float = 60.0) -> SeriesPast:
    past = SeriesPast()
    for number, value in enumerate(values):
        past.add(number * step_s, float(value))
    return past


def test_a_bin_holds_the_lowest_the_highest_and_the_last_value() -> None:
    past = a_past(np.array([3.0, 1.0, 5.0, 2.0, 4.0, 9.0, 8.0])).past()
    assert past.fine.low.tolist() == [1.0, 8.0]
    assert past.fine.high.tolist() == [5.0, 9.0]
    assert past.fine.last.tolist() == [4.0, 8.0]
    assert (past.coarse.low.tolist(), past.coarse.high.tolist()) == ([1.0], [9.0])


def test_bins_without_readings_repeat_the_last_value_and_no_more_than_a_week_is_kept() -> None:
    past = SeriesPast()
    past.add(0.0, 1.0)
    past.add(1000.0, 2.0)
    assert past.past().fine.last.tolist() == [1.0, 1.0, 1.0, 2.0]
    past.add(60 * DAY_S, 3.0)
    assert len(past.past().fine.last) == FINE[1] + 1
    assert len(past.past().coarse.last) == COARSE[1] + 1


def test_the_negative_series_has_the_negative_bins() -> None:
    values = np.random.default_rng(1).normal(size=500)
    flipped, negative = a_past(values).past().flipped(), a_past(-values).past()
    assert flipped.coarse.high == pytest.approx(negative.coarse.high)
    assert flipped.fine.low == pytest.approx(negative.fine.low)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), rows=st.integers(1, 3000), size=st.floats(1e-3, 1e12))
def test_a_restored_past_is_the_same_to_a_part_in_ten_thousand(seed: int, rows: int, size: float) -> None:
    past, other = a_past(size * np.random.default_rng(seed).normal(size=rows)), SeriesPast()
    other.restore_state(json.loads(json.dumps(past.export_state())))
    for one, again in zip(past.past().coarse.last, other.past().coarse.last, strict=True):
        assert again == pytest.approx(one, abs=1e-3 * size)


def test_a_week_takes_less_than_nine_kilobytes() -> None:
    values = np.random.default_rng(1).normal(size=10 * 1440)
    assert len(json.dumps(a_past(values).export_state())) < 9000


@pytest.mark.parametrize(
    "state",
    [
        None,
        [],
        [{}, {}],
        [{"slot": 1, "low": 0, "high": 1, "bins": "AAAA", "open": [0, 0, 0]}] * 2,
        [{"slot": 1, "low": 0, "high": 1, "bins": "", "open": [0, 0]}] * 2,
        [{"slot": -1, "low": 0, "high": 1, "bins": "", "open": [0, 0, 0]}] * 2,
        [{"slot": 1, "low": 0, "high": float("nan"), "bins": "", "open": [0, 0, 0]}] * 2,
    ],
)
def test_a_damaged_state_is_refused(state: object) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        SeriesPast().restore_state(state)
