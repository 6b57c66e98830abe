"""Persistence features: finite for any ramp and past, and without units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.trends.persistence_features import (
    FEATURES,
    NAMED,
    Ramp,
    highest_ahead,
    persistence_features,
)
from edge_agent.detection.trends.series_past import Bins, Past, SeriesPast

SAWTOOTH_S = 14_400.0


def a_past(size: float = 1.0, days: float = 8.0, seed: int = 1) -> Past:
    """Rises by 2 in four hours, again and again, with noise."""
    past, rng = SeriesPast(), np.random.default_rng(seed)
    for number in range(int(days * 1440)):
        past.add(number * 60.0, size * (2 * (number * 60 % SAWTOOTH_S) / SAWTOOTH_S + rng.normal(0, 0.02)))
    return past.past()


def a_ramp(size: float = 1.0, limit: float = 3.0) -> Ramp:
    t = np.arange(60, dtype=np.float64) * 120.0
    return Ramp(t=t, v=size * t / SAWTOOTH_S * 2, limit=size * limit)


def named(features: np.ndarray[tuple[int], np.dtype[np.float64]]) -> dict[str, float]:
    return dict(zip(FEATURES, features.tolist(), strict=True))


def test_the_unit_and_the_size_of_a_series_do_not_matter() -> None:
    small, large = (persistence_features(a_ramp(size), a_past(size)) for size in (1.0, 1e9))
    assert small == pytest.approx(large, abs=1e-3)


def test_rises_that_went_on_differ_from_rises_that_did_not() -> None:
    within = named(persistence_features(a_ramp(limit=1.8), a_past()))
    beyond = named(persistence_features(a_ramp(limit=4.0), a_past()))
    assert within["share_week"] > 2 * beyond["share_week"]
    assert within["share_gap_week"] > 2 * beyond["share_gap_week"]
    assert within["days_beyond"] == 1.0
    assert beyond["days_beyond"] == 0.0
    assert beyond["limit_over_week"] > 0 > within["limit_over_week"]


def test_what_is_not_known_is_zero() -> None:
    features = named(persistence_features(a_ramp(), a_past(), {"read_ratio": 2.0}))
    assert features["read_ratio"] == 2.0
    assert [features[name] for name in NAMED if name != "read_ratio"] == [0.0] * (len(NAMED) - 1)


def test_a_long_ramp_that_has_stopped_shows_it_in_the_bins_of_the_day() -> None:
    """Its points are means over an hour, so that the newest of them still rise."""
    ramp = Ramp(t=np.arange(24) * 3600.0, v=np.arange(24.0), limit=30.0)
    day = np.concatenate([np.linspace(0, 23, 270), np.full(18, 23.0)])
    stopped = Past(Bins(300.0, day, day, day), a_past().coarse)
    features = named(persistence_features(ramp, stopped))

    assert features["slope_latest_32"] == pytest.approx(0.0, abs=1e-9)
    assert features["slope_quarter"] == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(
    points=st.integers(6, 64), step_s=st.floats(1, 86_400), noise=st.floats(0, 10), seed=st.integers(0, 99),
    distance=st.floats(0, 1e6), days=st.floats(0.001, 2), size=st.floats(1e-6, 1e12),
)  # fmt: skip
def test_features_are_finite_for_any_ramp_and_past(
    points: int, step_s: float, noise: float, seed: int, distance: float, days: float, size: float
) -> None:
    v = size * (np.arange(points) + np.random.default_rng(seed).normal(0, noise, points))
    ramp = Ramp(t=np.arange(points, dtype=np.float64) * step_s, v=v, limit=float(v[-1]) + distance * size)
    features = persistence_features(ramp, a_past(size, days, seed))
    assert features.shape == (len(FEATURES),)
    assert np.isfinite(features).all()
    assert np.abs(features).max() < 1000


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=40), st.integers(1, 60))
def test_the_highest_ahead_is_that_of_the_next_values(values: list[float], count: int) -> None:
    found = highest_ahead(np.array(values), count)
    assert found.tolist() == [max(values[place : place + count]) for place in range(len(values))]


def test_a_ramp_whose_fit_does_not_rise_is_finite_however_far_the_limit_is() -> None:
    t = np.arange(22.0)
    assert np.isfinite(persistence_features(Ramp(t=t, v=-t, limit=1e14), a_past())).all()
