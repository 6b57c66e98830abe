"""Faults injected into real healthy rows: how many of each kind does the device find?

What flows in: healthy rows (n, channels) of a machine. What flows out: for each kind of fault the share that an alarm
opens for while it lasts (five minutes), and the false alarms an hour in the same rows without faults.

Deviations are counted in standard deviations of the channel over the healthy start.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edge_agent.detection.machine.statistics import Array
from models.machine.figures import HOUR_S, openings
from models.machine.replay import Watched

LASTS_S = 300
SETTLED_S = 200  # after the healthy start, before the first fault


@dataclass(frozen=True, slots=True)
class _Injection:
    """What is put into a channel: its own `values` (seconds,), its `deviation`, and noise."""

    values: Array
    deviation: float
    rng: np.random.Generator

    @property
    def sign(self) -> float:
        return float(self.rng.choice([-1.0, 1.0]))

    @property
    def seconds(self) -> Array:
        return np.arange(len(self.values), dtype=np.float64)


KINDS: dict[str, Callable[[_Injection], Array]] = {
    "step of 1.5": lambda one: one.values + 1.5 * one.deviation * one.sign,
    "step of 3": lambda one: one.values + 3.0 * one.deviation * one.sign,
    "ramp to 3": lambda one: one.values + 3.0 * one.deviation * one.sign * one.seconds / len(one.values),
    "noise of 1.5": lambda one: one.values + 1.5 * one.deviation * one.rng.standard_normal(len(one.values)),
    "stuck": lambda one: np.full(len(one.values), one.values[0]),
    "oscillation of 1.5": lambda one: one.values + 1.5 * one.deviation * np.sin(2 * np.pi * one.seconds / 20.0),
}


def injected(values: Array, deviation: float, kind: str, seed: int) -> Array:
    """Return the values (seconds,) of one channel with a fault of this kind in them."""
    return KINDS[kind](_Injection(values, deviation, np.random.default_rng(seed)))


def found_shares(rows: Array, start_rows: int, each: int = 24, seed: int = 0) -> dict[str, float]:
    """Return the share of faults found of each kind; channels in turn, at random times."""
    rng = np.random.default_rng(seed)
    firsts = np.sort(rng.integers(start_rows + SETTLED_S, len(rows) - LASTS_S, each))
    deviations = rows[:start_rows].std(axis=0)
    watched, at = Watched(rows[:start_rows]), start_rows
    hits: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for number, first in enumerate(map(int, firsts)):
        watched.alarms(rows[at:first])
        at, channel = first, number % rows.shape[1]
        if copy.deepcopy(watched).alarms(rows[first : first + LASTS_S]).any():
            continue  # an alarm that comes without the fault, too, proves nothing
        for kind in KINDS:
            faulty = rows[first : first + LASTS_S].copy()
            faulty[:, channel] = injected(faulty[:, channel], float(deviations[channel]), kind, seed + number)
            hits[kind].append(bool(copy.deepcopy(watched).alarms(faulty).any()))
    return {kind: float(np.mean(found)) for kind, found in hits.items()}


def false_per_hour(rows: Array, start_rows: int) -> float:
    """Return how many alarms an hour begin in healthy rows after their start."""
    return openings(Watched(rows[:start_rows]).alarms(rows[start_rows:])) / ((len(rows) - start_rows) / HOUR_S)
