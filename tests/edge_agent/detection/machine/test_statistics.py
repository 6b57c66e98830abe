"""Rolling statistics equal those computed from the whole window, whatever the values."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.machine.statistics import (
    CHANGES_S,
    LAGS_S,
    LEVELS_S,
    LONGEST_S,
    SPREAD_S,
    EqualRuns,
    RollingStatistics,
    longest_equal_runs,
    statistics_of,
)
from edge_agent.detection.network import Array


def of_window(rows: Array) -> Array:
    """The statistics of the last row, straight from the definitions."""
    means = [rows[-window:].mean(axis=0) for window in LEVELS_S]
    changes = [np.sqrt(np.mean((rows[lag:] - rows[:-lag])[-CHANGES_S:] ** 2, axis=0)) for lag in LAGS_S]
    return np.stack([*means, rows[-SPREAD_S:].std(axis=0), *changes])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4), st.floats(0.01, 100))
def test_rolling_statistics_are_those_of_the_window(seed: int, level: float, size: float) -> None:
    rows = level + size * np.random.default_rng(seed).standard_normal((2 * LONGEST_S + 7, 2))

    found = statistics_of(rows)[-1]

    np.testing.assert_allclose(found, of_window(rows), rtol=1e-6, atol=1e-6 * size)


def test_an_enormous_reading_leaves_no_trace_after_the_windows() -> None:
    rows = np.random.default_rng(1).standard_normal((4 * LONGEST_S, 1))
    spiked = rows.copy()
    spiked[10] = 1e12

    np.testing.assert_allclose(statistics_of(spiked)[-1], statistics_of(rows)[-1], rtol=1e-6)


def test_a_constant_channel_has_no_spread_and_no_change() -> None:
    found = statistics_of(np.full((50, 1), 230.0))

    assert (found[:, len(LEVELS_S) :] == 0).all()
    np.testing.assert_allclose(found[:, : len(LEVELS_S)], 230.0)


def test_the_first_row_stands_for_what_is_missing_of_a_window() -> None:
    rolling = RollingStatistics(np.array([5.0]))

    assert rolling.step(np.array([5.0]))[0, 0] == 5.0
    assert rolling.step(np.array([15.0]))[0, 0] == 6.0


def test_equal_readings_are_counted_until_one_differs() -> None:
    runs = EqualRuns(1)

    assert [float(runs.step(np.array([value]))[0]) for value in (1.0, 1.0, 1.0, 2.0, 2.0)] == [0, 1, 2, 0, 1]
    assert longest_equal_runs(np.array([[1.0], [1.0], [1.0], [2.0], [2.0]])).tolist() == [2]
