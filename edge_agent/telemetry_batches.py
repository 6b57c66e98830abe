"""Telemetry batches: aggregates, or every reading where the profile is `full`.

What flows in: the features of each sample. What flows out: a batch for the telemetry lane each time one is complete.
An incomplete batch is in memory only: `rows` limits what a power cut loses. Its number is reserved in the outbox.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import feature_unit, metric_of
from edge_agent.protocol.telemetry import COARSEST, LARGEST_MULTIPLE, MAX_CELLS, Batch, Column, pack
from edge_agent.resource_budget import DegradationLevel

log = logging.getLogger(__name__)

AGGREGATE_MIN = 5  # minutes behind one mean, minimum and maximum
AGGREGATE_STEPS = 1e4  # resolution: 1e-4 to 1e-3 of a batch's largest value; finer differences are noise
SPARSE_BATCH_MIN = 240  # minutes of aggregates in one batch at SPARSE_TELEMETRY
RESERVED_FOR_S = 6 * 3600.0  # telemetry numbers are reserved for this long: four writes a day
FULL_MAX_MIN = 15  # minutes of full rate in one batch: more than 40 series at 1 Hz then still fit


class Batcher(Protocol):
    """Collects features until a batch is complete."""

    @property
    def lasts_s(self) -> float:
        """Seconds behind one batch, unless it has too many columns for that."""
        ...

    def step(self, features: Mapping[str, float], now: Instant) -> Batch | None:
        """Take the features of one sample; return a batch when it is complete."""
        ...

    def finish(self) -> Batch | None:
        """Return the batch as far as it is filled; None if it is empty."""
        ...


def batcher(profile: str, publish_every_min: int, sample_period_s: float) -> Batcher | None:
    """Return the batcher of a telemetry profile; None for findings only. 0 minutes is the profile's own interval."""
    match profile:
        case "frugal":
            return Aggregates(rows=max(1, (publish_every_min or 60) // AGGREGATE_MIN))
        case "full":
            return Readings(
                rows=max(1, round((publish_every_min or 1) * 60 / sample_period_s)), period_s=sample_period_s
            )
        case _:
            return None


class Telemetry:
    """Encodes telemetry batches: those of the profile, or less at a lower degradation level."""

    def __init__(self, profile: str, publish_every_min: int, period_s: float) -> None:
        """`publish_every_min`: 0 is the profile's own interval. `period_s`: between samples, at the normal level."""
        self._profile, self._publish_every_min, self._period_s = profile, publish_every_min, period_s
        self._batcher = batcher(profile, publish_every_min, period_s)

    @property
    def numbers_ahead(self) -> int:
        """How many numbers one write of the outbox should reserve; 0 where no telemetry is sent."""
        return max(1, round(RESERVED_FOR_S / self._batcher.lasts_s)) if self._batcher else 0

    @property
    def every_s(self) -> float | None:
        """Seconds from one batch to the next; None where no telemetry is sent."""
        return self._batcher.lasts_s if self._batcher else None

    def step(self, features: Mapping[str, float], now: Instant) -> list[bytes]:
        """Take the features of one sample; return the batch that is complete, encoded, if there is one."""
        return _encoded(self._batcher.step(features, now)) if self._batcher else []

    def finish(self) -> list[bytes]:
        """Return the batch as far as it is filled, encoded, if it holds anything."""
        return _encoded(self._batcher.finish()) if self._batcher else []

    def change_level(self, level: DegradationLevel) -> list[bytes]:
        """Finish the batch and continue at another degradation level."""
        finished, profile, minutes = self.finish(), self._profile, self._publish_every_min
        if level >= DegradationLevel.FINDINGS_ONLY:
            profile = "findings-only"
        elif level >= DegradationLevel.SPARSE_TELEMETRY and profile != "findings-only":
            profile, minutes = "frugal", SPARSE_BATCH_MIN
        self._batcher = batcher(profile, minutes, self._period_s * level.slowdown)
        return finished


def _encoded(batch: Batch | None) -> list[bytes]:
    """Encode a batch. One that exceeds the size of a record, with thousands of series, is dropped and logged."""
    if batch is None:
        return []
    try:
        return [pack(batch)]
    except ValueError as error:
        log.error("telemetry since %s is dropped: %s", batch.start.wall, error)
        return []


@dataclass(slots=True)
class _Aggregate:
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
    """Mean, minimum and maximum of each series over each five minutes; a batch is `rows` of them."""

    rows: int
    _start: Instant | None = None
    _current: dict[str, _Aggregate] = field(default_factory=dict)
    _full: list[dict[str, _Aggregate]] = field(default_factory=list)

    @property
    def lasts_s(self) -> float:
        """Seconds behind one batch, unless it has too many columns for that."""
        return self.rows * 60.0 * AGGREGATE_MIN

    def step(self, features: Mapping[str, float], now: Instant) -> Batch | None:
        """Take the features of one sample; return a batch when it is complete."""
        self._start = self._start or now
        batch = None
        while now.uptime_s >= self._start.uptime_s + 60.0 * AGGREGATE_MIN * (len(self._full) + 1):
            self._full.append(self._current)
            self._current = {}
            if len(self._full) >= self._limit():
                batch, self._start = self.finish(), now
        for series, value in features.items():
            aggregate = self._current.get(series)
            if aggregate is None:
                self._current[series] = _Aggregate(value, value, value, 1)
            else:
                aggregate.add(value)
        return batch

    def finish(self) -> Batch | None:
        """Return the complete periods; None if there are none."""
        rows, self._full = self._full, []
        start, self._start = self._start, None
        shapes: dict[str, Callable[[_Aggregate], float]] = {
            "mean": lambda aggregate: aggregate.total / aggregate.count,
            "min": lambda aggregate: aggregate.low,
            "max": lambda aggregate: aggregate.high,
        }
        names = sorted({name for row in rows for name in row})
        if start is None or not names:
            return None
        largest = {name: max(max(-row[name].low, row[name].high) for row in rows if name in row) for name in names}
        resolutions = {name: _resolution(name, largest[name], AGGREGATE_STEPS) for name in names}
        columns = [
            _column(name, aggregate, [of(row[name]) if name in row else np.nan for row in rows], resolutions[name])
            for aggregate, of in shapes.items()
            for name in names
        ]
        return Batch(start=start, period_s=60.0 * AGGREGATE_MIN, columns=tuple(columns))

    def _limit(self) -> int:
        columns = 3 * len({name for row in self._full for name in row})
        return max(1, min(self.rows, MAX_CELLS // max(1, columns)))


@dataclass(slots=True)
class Readings:
    """Every reading; a batch is `rows` samples, `period_s` apart. A sample that was skipped is a row without values."""

    rows: int
    period_s: float
    _start: Instant | None = None
    _samples: list[Mapping[str, float]] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)

    @property
    def lasts_s(self) -> float:
        """Seconds behind one batch, unless it has too many columns for that."""
        return self.rows * self.period_s

    def step(self, features: Mapping[str, float], now: Instant) -> Batch | None:
        """Take the features of one sample; return a batch when it is complete.

        A sample that does not fit into the batch, because it is too late or too early, starts another one.
        """
        batch = None
        row = 0 if self._start is None else round((now.uptime_s - self._start.uptime_s) / self.period_s)
        if not len(self._samples) <= row < self._limit():
            batch, row = self.finish(), 0
        self._start = self._start or now
        self._samples += [{}] * (row - len(self._samples))
        self._samples.append(features)
        self._names.update(features)
        return self.finish() if batch is None and len(self._samples) >= self._limit() else batch

    def finish(self) -> Batch | None:
        """Return the samples so far; None if there are none."""
        samples, self._samples = self._samples, []
        names, self._names = sorted(self._names), set()
        start, self._start = self._start, None
        if start is None or not names:
            return None
        columns = []
        for name in names:
            readings = [sample.get(name, np.nan) for sample in samples]
            resolution = _resolution(name, float(np.nanmax(np.abs(readings))), LARGEST_MULTIPLE)
            columns.append(_column(name, "last", readings, resolution))
        return Batch(start=start, period_s=self.period_s, columns=tuple(columns))

    def _limit(self) -> int:
        return max(1, min(self.rows, MAX_CELLS // max(1, len(self._names))))


def _column(series: str, aggregate: str, readings: list[float], resolution: float) -> Column:
    values = np.array(readings)
    return Column(series=series, aggregate=aggregate, unit=feature_unit(series), resolution=resolution, values=values)


def _resolution(series: str, largest: float, steps: float) -> float:
    """Return the catalogue's resolution, or ten, a hundred ... times as much: at most `steps` of it make `largest`."""
    resolution = metric_of(series).resolution
    while largest / resolution > steps and resolution < COARSEST / 10:
        resolution = float(f"{resolution * 10:.12g}")  # ten times 1e-6 is not quite 1e-5
    return resolution
