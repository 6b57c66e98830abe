"""Age correction of the deviations of young channels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.anomaly.age_correction import MATURE_S, STATISTICS, age_factors

ages = st.lists(st.floats(0, 1e9), min_size=1, max_size=20)


@given(ages)
def test_factors_are_finite_never_below_one_and_fade_with_age(watched_s: list[float]) -> None:
    factors = age_factors(np.sort(watched_s))
    assert factors.shape == (len(STATISTICS), len(watched_s))
    assert np.isfinite(factors).all()
    assert (factors >= 1).all()
    assert (np.diff(factors, axis=1) <= 0).all()


@pytest.mark.parametrize("watched_s", [MATURE_S, 4 * MATURE_S])
def test_after_a_week_a_channel_needs_no_correction(watched_s: float) -> None:
    assert age_factors(np.array([watched_s])).tolist() == [[1.0]] * len(STATISTICS)


def test_the_correction_of_a_level_exceeds_that_of_a_jump() -> None:
    _, level, jump, _, _ = age_factors(np.array([3600.0])).ravel()
    assert level > jump > 1.5
