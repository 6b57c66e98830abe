"""What one whole step costs: 40 metrics in, decision out, on one core.

What flows out: microseconds of CPU time. The metrics are a virtual device's, the
step is the device's own Pipeline (features, rules, trends, score, alarms, findings), and every step finishes a row
of the score: on a device that samples each second, only one step in 60 does.
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple

import numpy as np

from edge_agent.artifacts.fleet import load_fleet, shipped
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly import Scorer
from edge_agent.detection.relations import Relations
from edge_agent.protocol.instant import Instant
from edge_agent.sample import Sample
from firmware_stubs.machine import VirtualMachine

METRICS = 40
WARM_STEPS = 3600  # the trends' windows fill, and cost more when they are full
STEPS = 3000
_START = datetime(2026, 1, 1, tzinfo=UTC)


class Cost(NamedTuple):
    """CPU time of one step in microseconds."""

    median_us: float
    p99_us: float


class SteppedClock:
    """A clock that advances by one second on request."""

    uptime_s = 0.0

    def now(self) -> Instant:
        """Return the current instant."""
        wall = _START + timedelta(seconds=self.uptime_s)
        return Instant(boot_id="cost", uptime_s=self.uptime_s, wall=wall, synced=True)

    def wait_until(self, uptime_s: float, stop: threading.Event) -> None:  # noqa: ARG002  the port's signature
        """Be there at once."""
        self.uptime_s = max(self.uptime_s, uptime_s)


def step_cost() -> Cost:
    """Measure the steps of a virtual device that has run for an hour."""
    pipeline = Pipeline(
        period_s=1.0,
        horizon_s=259_200.0,
        scorer=Scorer(step_s=1.0),
        relations=Relations(load_fleet(shipped()), step_s=1.0),
    )
    clock = SteppedClock()
    host = HostCollector(VirtualMachine(clock, "pump-07"))
    spent = []
    for _ in range(WARM_STEPS + STEPS):
        clock.uptime_s += 1.0
        sample = _sample(host, clock.now())
        began = time.thread_time_ns()
        pipeline.step(sample, sample.at)
        spent.append((time.thread_time_ns() - began) / 1000)
    return Cost(float(np.median(spent[WARM_STEPS:])), float(np.quantile(spent[WARM_STEPS:], 0.99)))


def _sample(host: HostCollector, now: Instant) -> Sample:
    scored = (
        (series, value) for series, value in host.collect(now).items() if not series.endswith(("limit", "uptime"))
    )
    return Sample(at=now, values=dict(islice(scored, METRICS)))
