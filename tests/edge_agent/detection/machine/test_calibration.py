"""Calibration: the bar is further above a short healthy start, and a start with a fault in it is noticed."""

import numpy as np
import pytest

from edge_agent.detection.machine.calibration import GROUPS, calibrate, scaled
from edge_agent.detection.machine.statistics import LEVELS_S, statistics_of
from tests.edge_agent.detection.machine.pumps import healthy_rows

LEVEL, SPREAD, CHANGE = GROUPS


def test_a_longer_start_lowers_the_bar() -> None:
    assert LEVEL.bar_factor(400) > LEVEL.bar_factor(2000) > LEVEL.bar_factor(20_000) > 1


def test_a_group_is_used_only_where_the_start_holds_enough_of_its_windows() -> None:
    short, long = calibrate(healthy_rows(400)), calibrate(healthy_rows(2000))

    assert np.isfinite(short.bars).tolist() == [True, False, False]
    assert np.isfinite(long.bars).all()


def test_a_healthy_start_is_certain() -> None:
    assert calibrate(healthy_rows(2000)).certainty > 0.95


@pytest.mark.parametrize("first", [0, 500, 1500])
def test_a_start_with_a_fault_in_it_is_not_certain(first: int) -> None:
    rows = healthy_rows(2000)
    rows[first : first + 500, 0] -= 3.0

    assert calibrate(rows).certainty < 0.9


def test_the_wander_has_a_floor() -> None:
    rows = healthy_rows(800)
    rows[:, 0] = np.tile([31.0, 33.0], 400)  # its means do not wander at all

    wander = calibrate(rows).wander

    assert wander[0, 0] == pytest.approx(LEVEL.floor[0])
    assert (wander > 0).all()


def test_scaling_keeps_levels_linear_and_makes_spread_a_logarithm() -> None:
    rows = healthy_rows(200)
    noise = rows.std(axis=0)
    statistics = statistics_of(rows)[-1]

    values = scaled(statistics, noise)

    np.testing.assert_allclose(values[0], statistics[0] / noise)
    np.testing.assert_allclose(np.exp(values[len(LEVELS_S)]), statistics[len(LEVELS_S)] / noise + 0.05)
