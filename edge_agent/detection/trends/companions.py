"""Companions of a ramp: what the host wrote, read, received and started while the ramp rose, against its usual day.

What flows in: the features of each sample. What flows out: the NAMED features of a ramp. A metric that is not there
gives 0, which stands for "not known"; so it is in training for series without names.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_agent.protocol.metrics import series_attributes, series_name

SPANS_S = (60.0, 900.0, 14_400.0, 86_400.0)  # of the exponential means; the last one is what is usual
_FLOORS = {
    "written": 1000.0,
    "read": 1000.0,
    "received": 1000.0,
    "started": 0.01,
    "load": 0.05,
}  # smaller rates are none
_TOTALS = {
    ("system.disk.io", "disk.io.direction", "write"): "written",
    ("system.disk.io", "disk.io.direction", "read"): "read",
    ("system.network.io", "network.io.direction", "receive"): "received",
}
_DIRECTIONS = {metric: attribute for metric, attribute, _ in _TOTALS}
_SINGLE = {"system.process.created": "started", "system.cpu.load_average.1m": "load"}


@dataclass(slots=True)
class _Means:
    """Means of one rate over SPANS_S, each corrected for the time before the first reading."""

    sums: list[float] = field(default_factory=lambda: [0.0] * len(SPANS_S))
    weights: list[float] = field(default_factory=lambda: [0.0] * len(SPANS_S))

    def add(self, value: float, passed_s: float) -> None:
        for place, span_s in enumerate(SPANS_S):
            share = 1 - math.exp(-passed_s / span_s)
            self.sums[place] += share * (value - self.sums[place])
            self.weights[place] += share * (1 - self.weights[place])

    def over(self, span_s: float) -> float:
        """Return the mean over the longest of the shorter spans that fits."""
        place = max((place for place, one in enumerate(SPANS_S[:-1]) if one <= span_s), default=0)
        return self.sums[place] / max(self.weights[place], 1e-9)

    def usual(self) -> float:
        return self.sums[-1] / max(self.weights[-1], 1e-9)


class Companions:
    """The rates of the host that go with a ramp."""

    def __init__(self) -> None:
        self._means: dict[str, _Means] = {}

    def step(self, values: Mapping[str, float], passed_s: float) -> None:
        """Add a sample; `passed_s` is the time since the last one."""
        for name, value in _rates(values).items():
            self._means.setdefault(name, _Means()).add(value, passed_s or 1.0)

    def features(self, span_s: float, uptime_s: float) -> dict[str, float]:
        """Return the NAMED features of a ramp over `span_s`."""
        found = {"settled": _clip(math.log(max(uptime_s, 60.0) / 3600), 4.0)}
        for name, means in self._means.items():
            rate, usual, floor = means.over(span_s), means.usual(), _FLOORS[name]
            found[f"{name}_ratio"] = _clip(math.log((max(rate, 0.0) + floor) / (max(usual, 0.0) + floor)), 4.0)
        return found


def _rates(values: Mapping[str, float]) -> dict[str, float]:
    """Return the rate of each companion that the sample has, summed over devices and interfaces."""
    rates: dict[str, float] = {}
    for series, value in values.items():
        name = series_name(series)
        if single := _SINGLE.get(name):
            rates[single] = value
        elif attribute := _DIRECTIONS.get(name):
            companion = _TOTALS.get((name, attribute, series_attributes(series).get(attribute, "")))
            if companion:
                rates[companion] = rates.get(companion, 0.0) + value
    return rates


def _clip(value: float, most: float) -> float:
    return min(max(value, -most), most)
