"""Ramps: what trends extrapolate in a scenario, with the outcome."""

import numpy as np

from models.scenarios.ramps import RecordingNetwork, ramps
from models.scenarios.timeline import HOUR_S, Reboot
from tests.models.scenarios.scenarios import FREE, a_full_disk, a_scenario, filling


def test_ramps_of_a_fault_reach_their_limit() -> None:
    found = list(ramps(a_full_disk()))
    assert found
    assert all(ramp.reaches and ramp.series == FREE for ramp in found)
    assert all(np.diff([ramp.at_s for ramp in found]) >= 600)


def test_ramps_of_a_rise_that_ends_do_not() -> None:
    scenario = a_scenario(filling(lowest=2.0), reboots=(Reboot(begin_s=3 * HOUR_S, end_s=3.1 * HOUR_S),))
    found = list(ramps(scenario))
    assert found
    assert not any(ramp.reaches for ramp in found)


def test_a_limit_that_is_reached_much_later_does_not_count() -> None:
    scenario = a_full_disk()
    assert scenario.comes_true("disk.filling", "/", 4 * HOUR_S, HOUR_S)
    assert scenario.comes_true("disk.filling", "/", 4 * HOUR_S, 0.7 * HOUR_S)
    assert not scenario.comes_true("disk.filling", "/", 4 * HOUR_S, 0.6 * HOUR_S)
    assert not scenario.comes_true("disk.filling", "/var", 4 * HOUR_S, HOUR_S)
    assert not scenario.comes_true("disk.filling", "/", 5 * HOUR_S, HOUR_S)


def test_a_recording_network_keeps_what_it_is_asked() -> None:
    network = RecordingNetwork(("slope", "distance"), answer=0.3)
    assert network.run(np.array([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[0.3], [0.3]]
    assert network.taken().tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert network.taken().shape == (0, 2)
