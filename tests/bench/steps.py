"""What one sample costs, beside the raw limit in the same run: a plain psutil sample of the same things."""

import sys
import time
from collections.abc import Callable

import numpy as np
import psutil

from edge_agent.clock import SystemClock
from edge_agent.collectors.host import HostCollector
from edge_agent.collectors.machine import LinuxMachine
from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly import Scorer
from edge_agent.protocol.instant import Instant
from edge_agent.sample import Sample
from firmware_stubs.machine import VirtualMachine
from tests.clocks import HandClock

ROUNDS = 2000


def raw_psutil() -> None:
    """Read with psutil what the host collector reads."""
    psutil.cpu_times()
    psutil.getloadavg()
    psutil.virtual_memory()
    psutil.swap_memory()
    for partition in psutil.disk_partitions():
        psutil.disk_usage(partition.mountpoint)
    psutil.disk_io_counters(perdisk=True)
    psutil.net_io_counters(pernic=True)


def cpu_us(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Return the median and the 99th percentile of the CPU time of one call, in microseconds."""
    spent = []
    for done in range(rounds):
        began = time.thread_time_ns()
        work()
        spent.append((time.thread_time_ns() - began) / 1000)
        if done % 500 == 0:
            print(f"  {done} of {rounds}", file=sys.stderr, end="\r")
    return float(np.median(spent)), float(np.quantile(spent, 0.99))


def judging(model: bool) -> Callable[[], object]:
    """Return a function that judges the next sample of a virtual device, four hours into its life."""
    clock = HandClock()
    host = HostCollector(VirtualMachine(clock, "pump-07"))
    pipeline = Pipeline(period_s=1.0, horizon_s=259_200.0, scorer=Scorer() if model else None)

    def sample() -> Sample:
        clock.uptime_s += 1.0
        now: Instant = clock.now()
        return Sample(at=now, values=host.collect(now))

    def next_sample() -> None:
        one = samples.pop() if samples else sample()
        pipeline.step(one, one.at)

    for _ in range(4 * 3600 if model else 600):
        one = sample()
        pipeline.step(one, one.at)
    samples = [sample() for _ in range(ROUNDS)][::-1]
    return next_sample


def steps() -> dict[str, tuple[float, float]]:
    """Return median and p99 of each part in microseconds; the raw limit comes first."""
    clock, host = SystemClock(), HostCollector(LinuxMachine())
    return {
        "psutil, the same readings (raw limit)": cpu_us(raw_psutil),
        "collect one sample": cpu_us(lambda: host.collect(clock.now())),
        "judge one sample, without the model": cpu_us(judging(model=False)),
        "judge one sample, with the model": cpu_us(judging(model=True)),
    }
