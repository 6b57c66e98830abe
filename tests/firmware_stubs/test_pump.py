"""A virtual pump: the same second gives the same readings, and each fault moves the channels that it should."""

import pytest

from firmware_stubs.faults import PumpFault
from firmware_stubs.pump import CHANNELS, KINDS, PumpCollector, VirtualPump, series_of
from tests.builders import an_instant

START_S, LASTS_S = 4000.0, 600.0
MOVES = {
    "valve-closing": {"flow": -1, "pressure": 1, "current": -1},
    "leak": {"flow": -1, "pressure": -1},
    "imbalance": {"vibration_1": 1, "vibration_2": 1},
    "bearing-wear": {"vibration_2": 1, "current": 1, "temperature_motor": 1},
    "cavitation": {"flow": -1},
}


def mean(pump: VirtualPump, channel: str, first_s: float, seconds: int = 300) -> float:
    return sum(pump.read(first_s + second)[channel] for second in range(seconds)) / seconds


def a_fault(kind: str) -> PumpFault:
    return PumpFault(kind=kind, start_s=START_S, lasts_s=LASTS_S)


def test_the_same_second_gives_the_same_readings() -> None:
    assert VirtualPump("a").read(17.0) == VirtualPump("a").read(17.0)
    assert VirtualPump("a").read(17.0) != VirtualPump("b").read(17.0)


def test_a_healthy_pump_works_at_a_sane_point() -> None:
    readings = VirtualPump("a").read(100.0)

    assert 30 < readings["flow"] < 34
    assert 1.1 < readings["pressure"] < 1.4
    assert 0.8 < readings["current"] < 1.2


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_moves_its_channels_and_only_after_its_start(kind: str) -> None:
    healthy, faulty = VirtualPump("a"), VirtualPump("a", (a_fault(kind),))

    assert faulty.read(START_S) == healthy.read(START_S)
    for channel, sign in MOVES[kind].items():
        before, after = (mean(pump, channel, START_S + LASTS_S) for pump in (healthy, faulty))
        assert (after - before) * sign > 0.02 * abs(before)


def test_cavitation_makes_the_pump_restless() -> None:
    pump = VirtualPump("a", (a_fault("cavitation"),))

    def spread(first_s: float) -> float:
        values = [pump.read(first_s + second)["vibration_1"] for second in range(200)]
        return max(values) - min(values)

    assert spread(START_S + LASTS_S) > 2 * spread(START_S - 300)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_at_full_strength_at_its_impact_and_stays(kind: str) -> None:
    fault = a_fault(kind)

    assert [fault.strength(at_s) for at_s in (START_S, fault.impact_s - 300, fault.impact_s, 1e6)] == [0, 0.5, 1, 1]


def test_the_collector_names_a_series_for_each_channel() -> None:
    now = an_instant()

    readings = PumpCollector("Feed pump", VirtualPump("a")).collect(now)

    assert list(readings) == [series_of("Feed pump")[channel] for channel in CHANNELS]
    assert "forewarn.machine.flow{hw.name=Feed pump}" in readings
