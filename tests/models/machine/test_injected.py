"""Injected faults: each does what its name says, and large ones are found in healthy rows."""

import numpy as np
import pytest

from edge_agent.detection.network import Array
from models.machine.injected import KINDS, LASTS_S, false_per_hour, found_shares, injected
from tests.edge_agent.detection.machine.pumps import healthy_rows

VALUES = np.random.default_rng(0).standard_normal(LASTS_S)


def moved(kind: str) -> Array:
    difference: Array = injected(VALUES, 1.0, kind, seed=1) - VALUES
    return difference


def test_steps_ramps_and_oscillations_have_their_size() -> None:
    assert np.abs(moved("step of 1.5")) == pytest.approx(np.full(LASTS_S, 1.5))
    assert np.abs(moved("step of 3")) == pytest.approx(np.full(LASTS_S, 3.0))
    assert abs(moved("ramp to 3")[0]) == 0
    assert abs(moved("ramp to 3")[-1]) == pytest.approx(3.0, abs=0.02)
    assert np.abs(moved("oscillation of 1.5")).max() == pytest.approx(1.5)
    assert moved("noise of 1.5").std() == pytest.approx(1.5, abs=0.3)


def test_a_stuck_channel_keeps_its_first_value() -> None:
    assert (injected(VALUES, 1.0, "stuck", seed=1) == VALUES[0]).all()


def test_the_same_seed_gives_the_same_fault() -> None:
    for kind in KINDS:
        np.testing.assert_array_equal(moved(kind), moved(kind))


def test_faults_in_quiet_rows_are_found_without_false_alarms() -> None:
    rows = healthy_rows(2900, seed=3)

    found = found_shares(rows, 2000, each=2)

    assert found.keys() == KINDS.keys()
    assert found["step of 3"] == found["stuck"] == 1.0
    assert false_per_hour(rows, 2000) == 0.0
