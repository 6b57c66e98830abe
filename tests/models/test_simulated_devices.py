"""Simulated devices: the same seed gives the same rows, and a fault changes only its own quantities."""

from dataclasses import replace

import numpy as np
import pytest

from edge_agent.detection.relations.quantities import Quantity
from firmware_stubs.thermal import HEAT_SINK
from models.simulated_devices import HEALTHY, PER_ROW, Device, InjectedFault, Recorded, random_device, simulate, work

STEPS = 120 * PER_ROW
DEVICE = Device(cooling=replace(HEAT_SINK, air_swing=0.0), sensor_off=0.0, cpu=1.0, load=1.0, disk=1.0, quiet=0.5)


def a_recording() -> Recorded:
    """An hour of rest and one of work, without a sensor."""
    found = np.zeros((STEPS, len(Quantity)))
    found[:, Quantity.CPU] = np.where(np.arange(STEPS) < STEPS // 2, 0.02, 0.6)
    found[:, Quantity.LOAD] = 2 * found[:, Quantity.CPU]
    found[:, Quantity.BUSY], found[:, Quantity.WRITES] = 0.1, 20.0
    found[:, Quantity.HEAT] = np.nan
    return Recorded("rest-and-work", "", found)


def test_the_same_seed_gives_the_same_simulation() -> None:
    one, other = (
        simulate(random_device(rng), work([a_recording()], 30, 0.5, rng)) for rng in map(np.random.default_rng, (3, 3))
    )
    assert np.array_equal(one, other)


def test_a_quiet_device_plays_only_quiet_pieces() -> None:
    done = work([a_recording()], 60, 1.0, np.random.default_rng(1))
    assert done.shape == (60 * PER_ROW, len(Quantity))
    assert done[:, Quantity.CPU].max() < 0.1


def test_a_healthy_simulation_is_the_recording_in_minutes_with_the_heat_of_its_work() -> None:
    rows = simulate(DEVICE, a_recording().found)
    assert rows[-1, Quantity.CPU] == pytest.approx(0.6)
    assert rows[-1, Quantity.HEAT] > rows[0, Quantity.HEAT] + 10
    assert rows[-1, Quantity.LOAD] == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("fault", "changed"),
    [
        (InjectedFault(begin=60, end=120, resists=2.0), {Quantity.HEAT}),
        (InjectedFault(begin=60, end=120, stuck=1.0), {Quantity.LOAD}),
        (InjectedFault(begin=60, end=120, slower=3.0), {Quantity.BUSY, Quantity.LOAD}),
    ],
)
def test_a_fault_raises_its_own_quantities_and_no_others(fault: InjectedFault, changed: set[Quantity]) -> None:
    done = a_recording().found
    healthy, faulty = simulate(DEVICE, done, HEALTHY), simulate(DEVICE, done, fault)
    assert np.array_equal(healthy[:60], faulty[:60])
    for quantity in Quantity:
        rises = faulty[-1, quantity] > healthy[-1, quantity]
        assert rises == (quantity in changed), quantity.name
