"""A virtual device with a pump beside it: the agent has learned it, and finds its fault before the impact."""

from pathlib import Path

import pytest

from firmware_stubs.clock import UP_S, VirtualClock
from firmware_stubs.demo import BEARING
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import PumpFault
from firmware_stubs.pump import KINDS, PumpCollector, VirtualPump


def a_device(tmp_path: Path, *faults: PumpFault) -> VirtualDevice:
    return VirtualDevice("plant-03", VirtualClock(), faults, ("127.0.0.1", 1883), tmp_path, pump="Feed pump")


@pytest.mark.parametrize("kind", KINDS)
def test_the_demo_s_pump_alarms_before_the_impact_and_not_before_the_fault(tmp_path: Path, kind: str) -> None:
    fault = PumpFault(kind=kind, start_s=BEARING.start_s, lasts_s=BEARING.lasts_s)
    machine = a_device(tmp_path, fault)._machine()
    collector = PumpCollector("Feed pump", VirtualPump("plant-03", (fault,)))

    seconds = [UP_S + second for second in range(int(BEARING.impact_s - UP_S))]
    alarms = [second for second in seconds if machine.step(collector.readings(second), second)]

    assert not machine.learning
    assert fault.start_s < alarms[0] < fault.impact_s - 60
