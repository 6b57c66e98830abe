"""A virtual machine's readings follow its clock alone, and its faults do what their names say."""

import pytest

from firmware_stubs.faults import CoolingLost
from firmware_stubs.machine import VirtualMachine
from tests.clocks import HandClock

SENSOR = "cpu_thermal/0"


def celsius(machine: VirtualMachine) -> float:
    return machine.temperatures()[SENSOR].celsius


def test_the_temperature_does_not_depend_on_how_often_it_is_read() -> None:
    clock = HandClock(3600.0)
    often, seldom = VirtualMachine(clock, "pump-07"), VirtualMachine(clock, "pump-07")
    assert celsius(often) == celsius(seldom)
    for _ in range(900):
        clock.uptime_s += 1.0
        celsius(often)
    assert celsius(often) == celsius(seldom)


def test_a_long_time_without_readings_costs_no_long_computation_and_leaves_a_sane_temperature() -> None:
    clock = HandClock(3600.0)
    machine = VirtualMachine(clock, "pump-07")
    celsius(machine)
    clock.uptime_s += 30 * 86_400.0
    assert 30 < celsius(machine) < 60


def test_a_device_that_loses_its_cooling_is_at_80_degrees_at_the_impact_of_its_fault() -> None:
    clock = HandClock(3600.0)
    fault = CoolingLost(start_s=3700.0, lasts_s=3600.0)
    healthy, faulty = VirtualMachine(clock, "pump-07"), VirtualMachine(clock, "pump-07", (fault,))
    clock.uptime_s = fault.start_s
    assert celsius(faulty) == celsius(healthy)
    clock.uptime_s = fault.impact_s + 600.0
    assert celsius(healthy) < 50
    assert celsius(faulty) == pytest.approx(83, abs=4)
