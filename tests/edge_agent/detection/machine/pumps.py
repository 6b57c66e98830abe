"""A small pump for tests: three channels of noise around levels, seeded; and a machine that has learned it."""

import json
from collections.abc import Mapping

import numpy as np

from edge_agent.detection.machine import Machine, MachineSettings
from edge_agent.detection.machine.statistics import Array
from edge_agent.detection.verdicts import Verdict

CHANNELS = {"flow": "pump.flow", "pressure": "pump.pressure", "current": "pump.current"}
LEVELS = np.array([32.0, 2.5, 1.2])
NOISE = np.array([0.4, 0.05, 0.02])
START_S = 400


def healthy_rows(seconds: int, seed: int = 0) -> Array:
    """Return rows (seconds, 3) of a healthy pump."""
    rng = np.random.default_rng(seed)
    rows: Array = LEVELS + NOISE * rng.standard_normal((seconds, 3))
    return rows


def faulty_rows(seconds: int, channel: int, by: float, seed: int = 9) -> Array:
    """Return rows (seconds, 3) of a pump one of whose channels is off by `by`."""
    rows = healthy_rows(seconds, seed)
    rows[:, channel] += by
    return rows


def readings(row: Array) -> Mapping[str, float]:
    """Return a row as the readings of a sample."""
    return dict(zip(CHANNELS.values(), map(float, row), strict=True))


def a_machine(name: str = "feed pump", start_s: int = START_S) -> Machine:
    """Return a machine that has seen nothing."""
    return Machine(MachineSettings(name=name, channels=CHANNELS, start_s=start_s))


def a_learned_machine(start_s: int = START_S, seed: int = 0) -> Machine:
    """Return a machine that has just learned its healthy start; its last sample was at second `start_s` - 1."""
    machine = a_machine(start_s=start_s)
    feed(machine, healthy_rows(start_s, seed))
    return machine


def feed(machine: Machine, rows: Array, from_s: float = 0.0) -> list[Verdict | None]:
    """Feed rows one second apart; return the verdict of each."""
    return [machine.step(readings(row), from_s + second) for second, row in enumerate(rows)]


def restarted(machine: Machine) -> Machine:
    """Return the machine as it is after a restart of the agent."""
    other = a_machine(start_s=machine.settings.start_s)
    other.restore_state(json.loads(json.dumps(machine.export_state())))
    return other
