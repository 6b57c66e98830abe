"""A virtual pump: the steady state of a centrifugal pump in a loop, with noise, slow wander, and faults.

    pump curve  H = 22 m - 0.009 Q^2      loop  H = 0.0125 R Q^2      so  Q = sqrt(22 / (0.009 + 0.0125 R))

What flows in: seconds of uptime and faults. What flows out: eight readings: flow in L/min, pressure in bar, current in
A, two vibrations in mm/s, voltage in V, temperatures of motor and water in Cel. The same second of the same pump always
gives the same readings.

Each fault grows from nothing at its start to full strength at its impact, and stays:

- a closing valve raises R: less flow, more pressure, less current;
- a leak behind the meter of pressure takes flow away from the loop: less flow, less pressure, more current;
- imbalance shakes the shaft: vibration 1, and half as much vibration 2;
- bearing wear shakes along the shaft and brakes it: vibration 2, current, warmth of the motor;
- cavitation makes flow, pressure and both vibrations restless, and takes some flow.
"""

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series
from firmware_stubs.faults import PumpFault

HEAD_M, PUMP_CURVE, LOOP_CURVE = 22.0, 0.009, 0.0125
BAR_PER_M = 0.0981
IDLE_W, W_PER_FLOW = 90.0, 2.9  # the power of a radial pump rises with its flow
POWER_FACTOR = 0.8
VOLTS = 230.0
NOISE = {
    "flow": 0.35, "pressure": 0.03, "current": 0.012, "vibration_1": 0.03, "vibration_2": 0.04, "voltage": 1.2,
    "temperature_motor": 0.15, "temperature_water": 0.05,
}  # fmt: skip
WANDER = 0.6  # of the noise: slow waves of 7 to 50 minutes, as a loop whose water warms up has
_WAVES_S = (430.0, 1130.0, 2900.0)


@dataclass(slots=True)
class _State:
    """What a fault may change before the readings are computed."""

    resistance: float = 1.0
    leaked: float = 0.0  # L/min
    brake_w: float = 0.0
    restless: float = 0.0  # noise of flow, pressure and vibration on top
    shake: dict[str, float] = field(default_factory=lambda: {"vibration_1": 0.9, "vibration_2": 1.2})
    warmth: float = 0.0


def _valve(state: _State, strength: float) -> None:
    state.resistance *= 1.0 + 1.5 * strength


def _leak(state: _State, strength: float) -> None:
    state.leaked += 8.0 * strength


def _imbalance(state: _State, strength: float) -> None:
    state.shake["vibration_1"] += 1.6 * strength
    state.shake["vibration_2"] += 0.8 * strength


def _bearing(state: _State, strength: float) -> None:
    state.shake["vibration_2"] += 1.4 * strength
    state.brake_w += 40.0 * strength
    state.warmth += 9.0 * strength


def _cavitation(state: _State, strength: float) -> None:
    state.restless += 3.0 * strength
    state.resistance *= 1.0 + 0.3 * strength


_FAULTS: dict[str, Callable[[_State, float], None]] = {
    "valve-closing": _valve,
    "leak": _leak,
    "imbalance": _imbalance,
    "bearing-wear": _bearing,
    "cavitation": _cavitation,
}
KINDS = tuple(_FAULTS)
CHANNELS = tuple(NOISE)
FAST_CHANNELS = CHANNELS[:6]  # temperatures are left to the rows of a minute


class VirtualPump:
    """One pump. `seed` decides its noise and its wander; `level` scales its size."""

    def __init__(self, seed: str, faults: tuple[PumpFault, ...] = (), level: float = 1.0) -> None:
        self._seed, self._faults, self._level = seed, faults, level
        phases = random.Random(f"{seed}/phases")
        self._phases = {name: [phases.uniform(0, 2 * math.pi) for _ in _WAVES_S] for name in NOISE}

    def read(self, uptime_s: float) -> dict[str, float]:
        """Return the readings of one second by channel."""
        state = _State()
        for fault in self._faults:
            _FAULTS[fault.kind](state, fault.strength(uptime_s))
        steady = self._steady(state)
        rng = random.Random(f"{self._seed}/{int(uptime_s)}")
        return {name: value + self._unrest(name, uptime_s, state, rng) for name, value in steady.items()}

    def _steady(self, state: _State) -> dict[str, float]:
        """Solve pump curve and loop for flow and head."""
        flow = math.sqrt(HEAD_M / (PUMP_CURVE + LOOP_CURVE * state.resistance)) + 0.4 * state.leaked
        head = HEAD_M - PUMP_CURVE * flow**2
        watts = IDLE_W + W_PER_FLOW * flow + state.brake_w
        return {
            "flow": self._level * max(0.0, flow - state.leaked),
            "pressure": head * BAR_PER_M,
            "current": watts / (VOLTS * POWER_FACTOR),
            **state.shake,
            "voltage": VOLTS,
            "temperature_motor": 52.0 + state.warmth,
            "temperature_water": 24.0,
        }

    def _unrest(self, name: str, uptime_s: float, state: _State, rng: random.Random) -> float:
        waves = sum(
            math.sin(2 * math.pi * uptime_s / wave + phase)
            for wave, phase in zip(_WAVES_S, self._phases[name], strict=True)
        )
        restless = state.restless if name in ("flow", "pressure", "vibration_1", "vibration_2") else 0.0
        return NOISE[name] * (rng.gauss(0, 1) * (1.0 + restless) + WANDER * waves / math.sqrt(len(_WAVES_S)))


_SERIES = {
    "flow": ("forewarn.machine.flow", ""),
    "pressure": ("forewarn.machine.pressure", ""),
    "current": ("forewarn.machine.current", ""),
    "vibration_1": ("forewarn.machine.vibration", " shaft"),
    "vibration_2": ("forewarn.machine.vibration", " bearing"),
    "voltage": ("forewarn.machine.voltage", ""),
    "temperature_motor": ("hw.temperature", " motor"),
    "temperature_water": ("hw.temperature", " water"),
}


def series_of(pump: str) -> dict[str, str]:
    """Return the series of each channel of a pump of this name."""
    return {channel: series(name, hw__name=f"{pump}{part}") for channel, (name, part) in _SERIES.items()}


class PumpCollector:
    """Reads a virtual pump."""

    def __init__(self, name: str, pump: VirtualPump) -> None:
        self.name = f"machine {name}"
        self._pump, self._series = pump, series_of(name)

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return the readings of this second by series."""
        return self.readings(now.uptime_s)

    def readings(self, uptime_s: float) -> dict[str, float]:
        """Return the readings of a second of uptime by series."""
        return {self._series[channel]: value for channel, value in self._pump.read(uptime_s).items()}
