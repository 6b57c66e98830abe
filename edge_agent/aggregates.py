"""Aggregates: what a healthy device sends instead of every reading. Min, mean and max of each series a minute.

What flows in: features at full rate. What flows out: a batch for the telemetry lane each time enough minutes are full.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import metric_of
from edge_agent.protocol.telemetry import Batch, Column

PERIOD_S = 60.0


@dataclass(slots=True)
class _Tally:
    low: float
    high: float
    total: float
    count: int

    def add(self, value: float) -> None:
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.total += value
        self.count += 1


@dataclass(slots=True)
class Aggregates:
    """Collects `rows` minutes, then hands them over as one batch."""

    rows: int
    _start: Instant | None = None
    _minute: dict[str, _Tally] = field(default_factory=dict)
    _full: list[dict[str, _Tally]] = field(default_factory=list)

    def step(self, features: Mapping[str, float], now: Instant) -> Batch | None:
        """Take the features of one sample; return a batch when it is complete."""
        self._start = self._start or now
        batch = None
        while now.uptime_s >= self._start.uptime_s + PERIOD_S * (len(self._full) + 1):
            self._full.append(self._minute)
            self._minute = {}
            if len(self._full) >= self.rows:
                batch, self._start = self.finish(), now
        for series, value in features.items():
            tally = self._minute.get(series)
            if tally is None:
                self._minute[series] = _Tally(value, value, value, 1)
            else:
                tally.add(value)
        return batch

    def finish(self) -> Batch | None:
        """Hand over what is complete so far, however little; None if there is nothing."""
        minutes, self._full = self._full, []
        start, self._start = self._start, None
        names = sorted({name for minute in minutes for name in minute})
        if start is None or not names:
            return None
        columns = [column for name in names for column in _columns(name, [minute.get(name) for minute in minutes])]
        return Batch(start=start, period_s=PERIOD_S, columns=tuple(columns))


def _columns(series: str, tallies: list[_Tally | None]) -> list[Column]:
    metric = metric_of(series)
    by_aggregate = {
        "min": [np.nan if t is None else t.low for t in tallies],
        "mean": [np.nan if t is None else t.total / t.count for t in tallies],
        "max": [np.nan if t is None else t.high for t in tallies],
    }
    return [
        Column(
            series=series,
            aggregate=name,
            unit=metric.unit,
            resolution=metric.resolution,
            values=np.array(values),
        )
        for name, values in by_aggregate.items()
    ]
