"""`python -m models record`: a recording of this machine under varied real load, as the agent itself sees it.

What flows in: this machine, through the agent's own HostCollector and Features, once a second, while a seeded
schedule of real workloads runs with idle time between them. What flows out: one compressed file with

    rows (n, series) float32   means over STEP_S of each feature; NaN where there was none
    series (n series,)         names, as the agent reports them
    ran (n,)                   what ran: "idle", a workload, or two with a plus between them
    step_s                     seconds of a row
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.clock import SystemClock
from edge_agent.collectors.host import HostCollector
from edge_agent.collectors.machine import LinuxMachine
from edge_agent.detection.features import Features
from edge_agent.sample import Sample
from models.workloads import BROWSER, WORKLOADS

STEP_S = 5
IDLE = "idle"
_LEFT_OUT = ("system.uptime", "system.filesystem.")  # the second names folders, and nothing here is read from it


@dataclass(frozen=True, slots=True)
class Phase:
    """What runs for how many seconds."""

    names: tuple[str, ...]
    seconds: float

    @property
    def title(self) -> str:
        """How the recording calls it."""
        return "+".join(self.names) or IDLE


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `record` and its options."""
    parser = commands.add_parser("record", help="record this machine under varied load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .npz to write")
    parser.add_argument("--seconds", type=float, required=True, help="how long; the last phase is cut there")
    parser.add_argument("--seed", type=int, default=1, help="of the schedule and of how hard each workload works")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Record, and write once at the end."""
    rows, ran = record(options.seconds, random.Random(options.seed))
    series = sorted({name for row in rows for name in row})
    table = np.array([[row.get(name, np.nan) for name in series] for row in rows], np.float32)
    np.savez_compressed(options.out, rows=table, series=np.array(series), ran=np.array(ran), step_s=STEP_S)
    print(f"{options.out}: {len(rows)} rows of {len(series)} series, {options.out.stat().st_size} bytes")


def schedule(rng: random.Random) -> Iterator[Phase]:
    """Yield phases without end: idle, one workload, sometimes two at a time; each workload before one comes again."""
    names = [name for name in WORKLOADS if name != "browse" or BROWSER]
    while True:
        for name in rng.sample(names, len(names)):
            yield Phase((), rng.uniform(15, 60))
            others = [other for other in names if other != name]
            yield Phase((name, rng.choice(others)) if rng.random() < 0.3 else (name,), rng.uniform(40, 150))


def record(seconds: float, rng: random.Random) -> tuple[list[dict[str, float]], list[str]]:
    """Sample each second while the schedule runs; return the mean features of each step, and what ran then."""
    clock, host, features = SystemClock(), HostCollector(LinuxMachine()), Features()
    begin_s = clock.now().uptime_s
    rows: list[dict[str, float]] = []
    ran: list[str] = []
    phases = schedule(rng)
    at_s, phase_ends_s = begin_s, begin_s
    with contextlib.ExitStack() as running:
        while at_s < begin_s + seconds:
            if at_s >= phase_ends_s:
                running.close()
                phase = next(phases)
                phase_ends_s = at_s + phase.seconds
                for name in phase.names:
                    running.enter_context(_working(name, rng.randrange(2**31), phase.seconds))
            sums: dict[str, list[float]] = {}
            for _ in range(STEP_S):
                at_s += 1.0
                clock.wait_until(at_s, threading.Event())
                now = clock.now()
                for series, value in features.step(Sample(at=now, values=host.collect(now))).items():
                    sums.setdefault(series, []).append(value)
            rows.append({name: float(np.mean(v)) for name, v in sums.items() if not name.startswith(_LEFT_OUT)})
            ran.append(phase.title)
    return rows, ran


@contextlib.contextmanager
def _working(name: str, seed: int, seconds: float) -> Iterator[None]:
    """Run a workload in its own process group and folder; both are removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="recording-"))
    command = [sys.executable, "-m", "models.workloads", name, str(folder), str(seed), str(seconds)]
    process = subprocess.Popen(command, start_new_session=True)  # noqa: S603  our own module
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
