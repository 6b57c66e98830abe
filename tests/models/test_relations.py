"""The evaluation of relations: bars hold the rate they are for, and a fault that shouts is found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.relations.relations import RELATIONS
from models.datasets import DataError
from models.relations import CASES, HOUR, bars, folds, found
from models.simulated_devices import Recorded

WEEK = 7 * 24


@given(st.integers(0, 20), st.integers(1, 5))
def test_a_bar_is_exceeded_in_as_many_hours_as_were_allowed(seed: int, per_week: int) -> None:
    rng = np.random.default_rng(seed)
    healthy = [rng.normal(2, 1, (2 * HOUR, len(RELATIONS))) for _ in range(WEEK)]  # two weeks in all
    loudest = np.stack(healthy).reshape(-1, HOUR, len(RELATIONS)).max(axis=1)
    assert ((loudest > bars(healthy, per_week)).sum(axis=0) == 2 * per_week).all()


def test_a_fault_is_found_from_the_row_on_that_is_above_the_bar() -> None:
    quiet = np.zeros((3 * HOUR, len(RELATIONS)))
    rises = np.zeros((HOUR + 2, len(RELATIONS)))
    rises[20:, CASES[0].relation] = 2.0
    late = np.zeros_like(rises)
    late[40:, CASES[0].relation] = 2.0
    seen = found(CASES[0], [quiet, quiet], [[rises, late], [np.zeros_like(rises)]], begin=HOUR, bar=1.0)
    assert seen.in_30 == (0.5, 0.0)
    assert seen.in_60 == (1.0, 0.0)
    assert seen.delay == 31.0
    assert seen.area == pytest.approx((2 + 0.5) / 3)


def test_one_recording_alone_can_not_be_held_out() -> None:
    with pytest.raises(DataError, match="at least two"):
        list(folds([Recorded("only", "", np.zeros((1, 1)))]))
