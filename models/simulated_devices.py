"""Simulated devices, made from real recordings: rows of quantities, one a minute.

What flows in: recordings (models/recordings), a random device, and an injected fault with its interval. What flows
out: rows of quantities, a minute each, as the agent's own `quantities` would return them.

A simulation is a sequence of pieces of recordings, busy and quiet, replayed on a device that differs from the recorded
machine: slower or faster, with another disk, and another load for the same work. Its heat is the
thermal model's, second by second, under the recorded load.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.detection.relations.quantities import Quantity, quantities
from edge_agent.detection.trends.multiscale_window import Array
from firmware_stubs.thermal import SENSOR_STEP, Board, Cooling, Fan
from models.datasets import DataError
from models.recording import STEP_S

RECORDINGS = Path("models/recordings")
PER_ROW = 60 // STEP_S
QUIET = 0.15  # of the CPU, or the quietest seventh of a recording: such rows are what an idle device plays
HEAT_STEP_S = STEP_S / 2  # of the thermal model
_Q = Quantity


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recording as quantities (n, Quantity), STEP_S apart."""

    name: str
    sha256: str
    found: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """How a simulated device differs from the recorded machine."""

    cooling: Cooling
    sensor_off: float  # K
    cpu: float  # the same work takes so much of its processors
    load: float  # and makes so much load
    disk: float  # its disk is so many times as slow
    quiet: float  # share of pieces in which it idles


@dataclass(frozen=True, slots=True, kw_only=True)
class InjectedFault:
    """A fault injected from row `begin` to row `end` of a simulation; none by default."""

    begin: int = 0
    end: int = 0
    resists: float = 1.0  # the way of its heat to the air
    slower: float = 1.0  # its disk
    stuck: float = 0.0  # threads that are blocked for ever: load without work

    def at(self, what: str, healthy: float, steps: int) -> Array:
        """Return one of its effects for each recorded step."""
        values = np.full(steps, healthy)
        values[self.begin * PER_ROW : self.end * PER_ROW] = getattr(self, what)
        return values


HEALTHY = InjectedFault()


def load_recordings(folder: Path) -> list[Recorded]:
    """Read what `record` wrote. Raises DataError."""
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise DataError(f"{folder}: no recordings; python -m models record makes some")
    return [_read(path) for path in paths]


def _read(path: Path) -> Recorded:
    with np.load(path, allow_pickle=False) as arrays:
        if int(arrays["step_s"]) != STEP_S:
            raise DataError(f"{path}: rows of {arrays['step_s']} s; {STEP_S} s are needed")
        names = [str(name) for name in arrays["series"]]
        rows = arrays["rows"].astype(np.float64)
    found = [
        quantities({name: v for name, v in zip(names, row.tolist(), strict=True) if math.isfinite(v)}) for row in rows
    ]
    # totals give no rate at the first sample
    return Recorded(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), np.array(found)[1:])


def random_device(rng: np.random.Generator) -> Device:
    """Draw a device: bare boards, heat sinks and fans, rooms of 5 to 40 Cel, cards and drives, one core to many."""
    fan = None
    if rng.random() < 0.3:
        on = rng.uniform(50, 65)
        fan = Fan(on=on, off=on - rng.uniform(4, 10), divides_by=rng.uniform(1.5, 4.0))
    cooling = Cooling(
        idle_w=rng.uniform(1.0, 2.5),
        busy_w=rng.uniform(2.0, 6.0),
        chip_to_board=rng.uniform(2.0, 4.0),
        board_to_air=_between(rng, 2.5, 9.0),
        chip_heat=rng.uniform(3.0, 6.0),
        board_heat=_between(rng, 30.0, 150.0),
        fan=fan,
        air=rng.uniform(5.0, 40.0),
        air_swing=rng.uniform(0.0, 4.0),
        warmest_s=rng.uniform(0.0, 86_400.0),
    )
    return Device(
        cooling=cooling,
        sensor_off=rng.normal(0.0, 1.5),
        cpu=_between(rng, 0.4, 1.5),
        load=_between(rng, 0.7, 1.8),
        disk=_between(rng, 0.3, 3.0),
        quiet=rng.uniform(0.2, 0.8),
    )


def work(recordings: Sequence[Recorded], rows: int, quiet: float, rng: np.random.Generator) -> Array:
    """Line up pieces of recordings, `quiet` of them idle: (rows * PER_ROW, Quantity) as the machine recorded them."""
    pieces: list[Array] = []
    steps = rows * PER_ROW
    while sum(map(len, pieces)) < steps:
        found = recordings[int(rng.integers(len(recordings)))].found
        if rng.random() < quiet:
            pieces.append(_idle(found, int(rng.integers(60, 360)), rng))
        else:
            length = int(rng.integers(36, 200))
            start = int(rng.integers(0, max(1, len(found) - length)))
            pieces.append(found[start : start + length])
    return np.concatenate(pieces)[:steps]


def _idle(found: Array, steps: int, rng: np.random.Generator) -> Array:
    """Line up quiet runs of a recording."""
    cpu = found[:, _Q.CPU]
    quiet = cpu < max(QUIET, float(np.quantile(cpu, QUIET)))
    runs: list[Array] = []
    while sum(map(len, runs)) < steps:
        start = end = int(rng.choice(np.flatnonzero(quiet)))
        while end < len(found) and quiet[end]:
            end += 1
        runs.append(found[start:end])
    return np.concatenate(runs)[:steps]


def simulate(device: Device, done: Array, fault: InjectedFault = HEALTHY) -> Array:
    """Simulate the work on a device, with a fault: (rows, Quantity), a minute each."""
    found, steps = done.copy(), len(done)
    found[:, _Q.CPU] = np.minimum(1.0, done[:, _Q.CPU] * device.cpu)
    busy = np.minimum(1.0, done[:, _Q.BUSY] * device.disk * fault.at("slower", 1.0, steps))
    longer = busy / np.maximum(done[:, _Q.BUSY], 1e-6)
    waits = np.where(done[:, _Q.BUSY] > 1e-6, done[:, _Q.IOWAIT] * longer, done[:, _Q.IOWAIT])
    found[:, _Q.IOWAIT] = np.minimum(1.0 - found[:, _Q.CPU], waits)
    found[:, _Q.BUSY] = busy
    waiting = _minute_mean(busy - done[:, _Q.BUSY] + fault.at("stuck", 0.0, steps))
    found[:, _Q.LOAD] = np.maximum(0.0, done[:, _Q.LOAD] * device.load + waiting)
    found[:, _Q.HEAT] = _heat(device, found[:, _Q.CPU], fault)
    rows: Array = found[: steps // PER_ROW * PER_ROW].reshape(-1, PER_ROW, len(Quantity)).mean(axis=1)
    return rows


def _minute_mean(threads: Array) -> Array:
    """Follow as the kernel's load average of one minute does."""
    keep, mean, values = math.exp(-STEP_S / 60), float(threads[0]), np.empty(len(threads))
    for step, value in enumerate(threads.tolist()):
        mean = keep * mean + (1 - keep) * value
        values[step] = mean
    return values


def _heat(device: Device, cpu: Array, fault: InjectedFault) -> Array:
    """Drive the thermal model: Cel in the steps of a sensor."""
    cooling = device.cooling
    board = Board(cooling, float(cpu[0]), 0.0)
    resists = fault.at("resists", 1.0, len(cpu)).tolist()
    chip = np.empty(len(cpu))
    for step, load in enumerate(cpu.tolist()):
        for half in (0.0, HEAT_STEP_S):
            at_s = step * STEP_S + half
            board.step(load, at_s, HEAT_STEP_S, resists=resists[step])
        chip[step] = board.chip
    shown: Array = np.round((chip + device.sensor_off) / SENSOR_STEP) * SENSOR_STEP
    return shown


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw so that doubling is as likely anywhere."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
