"""Two weeks offline: a device runs them at full speed without a broker; then it sends all records, which are checked.

    python -m tests.offline [--days 14] [--profile frugal|full] [--budget-mib 100] [--seed 1] [--keep DIR]

What flows in: how long, the telemetry profile, and the storage quota. What flows out: lines on stderr, and
as the last line JSON: {"days", "findings", "evidence", "telemetry", "stored", "declared_lost", "evidence_lost",
"missing", "duplicates", "largest_mib", "budget_mib", "drain_s"}.

The real agent on virtual hardware, whose memory leaks and whose disk fills up, and is freed again, 16 times a day. Then
Mosquitto and the cloud start, and the same agent sends its records at its own rate. At the end each record that its
outbox has accepted is looked up in the database: stored once, or declared lost, which no finding may be.

`largest_mib` is the largest size of the store on disk: database, sequence file, and any other file in its folder, read
each minute of the device's time. The write-ahead log is not in it: it comes on top of any budget, and has a limit of
its own, which is checked apart (`LOG_MIB`).

Exit codes: 0 nothing is missing, nothing is stored twice and the store kept to its budget, 1 otherwise, 2 wrong command
line, or a process failed or was stopped.
"""

import argparse
import contextlib
import json
import logging
import math
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from random import Random

import psutil

from edge_agent.agent import Agent
from edge_agent.artifacts.fleet import load_fleet, shipped
from edge_agent.assembly import Settings, assemble
from edge_agent.collectors import Collection
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Outcome, Pipeline
from edge_agent.detection.anomaly.scorer import DETECTOR, Scorer
from edge_agent.detection.relations import Relations
from edge_agent.outbox.quota import Quota
from edge_agent.outbox.schema import Kind
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane
from edge_agent.uplink import backoff
from edge_agent.uplink.mqtt_connection import Link
from firmware_stubs.clock import UP_S
from firmware_stubs.faults import MIB, DiskFilling, MemoryLeak
from firmware_stubs.machine import VirtualMachine
from firmware_stubs.processes import SetupError, free_port, running_cloud, running_mosquitto
from tests.chaos.accounting import Accounting, account
from tests.chaos.recording_outbox import RecordingOutbox

DEVICE = "pump-07"
DAY_S = 86_400.0
MOST_DAYS = 28.0  # the cloud keeps telemetry for 30
TURN_S = 3 * 3600.0  # in each the memory leaks once and the disk fills up once
LASTS_S = (1200.0, 3600.0)
FULL_FOR_S = 1200.0
LOG_MIB = 2.0  # of the write-ahead log: 1 MiB by its setting, and what one large transaction may add
RETRY_S = 5.0  # the agent's longest backoff is 10 minutes, too long for this check
STUCK_S = 180.0
LOG_EVERY_S = 15.0


class LeapingClock:
    """Skips each wait for the first `offline_s` seconds, then runs in real time. It is always synchronised."""

    def __init__(self, offline_s: float) -> None:
        self._boot_id = "f0e2a9c4-61a5-4e0f-9c1b-0ff11e000000"
        self._uptime_s, self._leaps_until_s = UP_S, UP_S + offline_s
        self._arrived_s: float | None = None  # real time
        self._boot = datetime.now(UTC) - timedelta(seconds=self._leaps_until_s)

    @property
    def arrived(self) -> bool:
        """Whether it runs in real time."""
        return self._arrived_s is not None

    def now(self) -> Instant:
        """Read the device's clocks."""
        uptime_s = self._uptime_s + (time.monotonic() - self._arrived_s if self._arrived_s is not None else 0.0)
        wall = self._boot + timedelta(seconds=uptime_s)
        return Instant(boot_id=self._boot_id, uptime_s=uptime_s, wall=wall, synced=True)

    def wait_until(self, uptime_s: float, stop: threading.Event) -> None:
        """Skip to this uptime, or wait for it."""
        if uptime_s <= self._leaps_until_s:
            self._uptime_s = uptime_s
            return
        self._arrived_s = time.monotonic() if self._arrived_s is None else self._arrived_s
        stop.wait(uptime_s - self.now().uptime_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks(MemoryLeak):
    """A leak in each turn."""

    seed: int

    def share(self, uptime_s: float) -> float:
        """Return the share of the available memory that is used, 0..1."""
        start_s, lasts_s = _in_turn(f"{self.seed}/leak", uptime_s // TURN_S)
        return MemoryLeak(start_s=start_s, lasts_s=lasts_s).share(uptime_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fills(DiskFilling):
    """A disk that fills up in each turn, and is emptied a while later."""

    seed: int

    def share(self, uptime_s: float) -> float:
        """Return the share of the disk that is used, 0..1."""
        start_s, lasts_s = _in_turn(f"{self.seed}/fill", uptime_s // TURN_S)
        emptied = uptime_s >= start_s + lasts_s + FULL_FOR_S
        return 0.0 if emptied else DiskFilling(start_s=start_s, lasts_s=lasts_s).share(uptime_s)


@lru_cache(maxsize=8)
def _in_turn(seed: str, turn: float) -> tuple[float, float]:
    """Return the uptime at which a turn's fault starts, and how long it lasts."""
    rng = Random(f"{seed}/{turn}")
    return turn * TURN_S + rng.uniform(600.0, TURN_S / 2), rng.uniform(*LASTS_S)


@dataclass(slots=True)
class Observer:
    """What is measured of the device at each of its samples."""

    state: Path
    clock: LeapingClock
    waiting: Callable[[], int]
    connected: Callable[[], bool]
    samples: int = 0
    largest: int = 0
    largest_log: int = 0
    left: float = math.inf  # pending records, once there is a broker
    connected_s: float = 0.0  # real time; 0 before
    drained: threading.Event = field(default_factory=threading.Event)
    _minute: int = 0

    def step(self, _outcome: Outcome) -> None:
        """Measure."""
        self.samples += 1
        minute = int(self.clock.now().uptime_s // 60)
        if minute != self._minute:
            self._minute = minute
            self._measure()
        if self.clock.arrived and self.connected():
            self.left, self.connected_s = self.waiting(), self.connected_s or time.monotonic()
            if not self.left:
                self.drained.set()

    def _measure(self) -> None:
        sizes = {part.name: part.stat().st_size for part in self.state.iterdir()}
        log = sizes.pop("outbox.db-wal", 0)
        self.largest, self.largest_log = max(self.largest, sum(sizes.values())), max(self.largest_log, log)


@dataclass(frozen=True, slots=True)
class Device:
    """The running agent, and what is measured of it."""

    agent: Agent
    observer: Observer
    state: Path
    accepted_log: Path
    port: int  # of the broker, which starts later
    run: Future[None]
    stop: threading.Event

    def check(self) -> None:
        """Raise the error that ended the agent, if it has ended by itself."""
        if self.run.done():
            self.run.result()
            raise SetupError("the agent ended by itself")


def main() -> int:
    """Run, print, and return the exit code."""
    options = _options()
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _stopped)
    backoff.BACKOFF_MAX_S = RETRY_S
    try:
        with _folder(options.keep) as folder:
            verdict, good = offline(options, folder)
    except (SetupError, OSError, subprocess.SubprocessError, KeyboardInterrupt) as error:
        print(f"offline: {error or 'stopped before the end'}", file=sys.stderr)
        return 2
    print(json.dumps(verdict))
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=14.0, help=f"of the device's life, up to {MOST_DAYS:.0f}")
    parser.add_argument("--profile", choices=["frugal", "full"], default="frugal", help="telemetry.profile")
    parser.add_argument("--budget-mib", type=int, default=100, metavar="MIB", help="state.budget_mib")
    parser.add_argument("--period-s", type=float, default=1.0, metavar="S", help="sampling.period_s")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="folder for logs and stores (default: a temporary one)"
    )
    options = parser.parse_args()
    if not 0 < options.days <= MOST_DAYS or not 0.1 <= options.period_s <= 60 or options.budget_mib < 1:
        parser.error("--days is up to 28, --period-s from 0.1 to 60, --budget-mib from 1 on")
    return options


def _stopped(_number: int, _frame: object) -> None:
    raise SetupError("stopped before the end")


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="forewarn-offline-") as folder:
        yield Path(folder)


def offline(options: argparse.Namespace, folder: Path) -> tuple[dict[str, object], bool]:
    """Run offline, connect, drain, and check all records; return the result, and whether it passes."""
    if any((folder / name).exists() for name in ("state", "accepted", "cloud")):
        raise SetupError(f"{folder} holds an earlier run")
    with _running(options, folder) as device:
        _run_offline(device, options.days)
        broker = ("--broker", f"mqtt://127.0.0.1:{device.port}")
        with running_mosquitto(folder, device.port), running_cloud(folder, free_port(), device.port, *broker):
            drain_s = _drain(device)
            _send_the_rest(device)
    url = f"sqlite+aiosqlite:///{folder / 'cloud' / 'cloud.db'}"
    accounting = account({DEVICE: device.accepted_log}, url, frozenset({Kind.TELEMETRY, Kind.EVIDENCE}))
    return _verdict(options, accounting, device.observer, drain_s)


@contextlib.contextmanager
def _running(options: argparse.Namespace, folder: Path) -> Iterator[Device]:
    """Run an agent in a thread of its own while the block runs."""
    state, accepted_log, port, stop = folder / "state", folder / "accepted", free_port(), threading.Event()
    clock = LeapingClock(options.days * DAY_S)
    outbox = RecordingOutbox(state / "outbox.db", accepted_log, Quota(budget_bytes=options.budget_mib << 20))
    agent = _agent(options, clock, outbox, port)
    observer = Observer(state, clock, lambda: sum(map(outbox.waiting, Lane)), lambda: agent.delivery.uplink.connected)
    with ThreadPoolExecutor(1) as executor, ExitStack() as stack:
        stack.callback(stop.set)
        yield Device(agent, observer, state, accepted_log, port, executor.submit(agent.run, stop, observer.step), stop)


def _agent(options: argparse.Namespace, clock: LeapingClock, outbox: RecordingOutbox, port: int) -> Agent:
    """Return the agent as it is shipped, on virtual hardware with repeated faults."""
    period_s, horizon_s, seed = options.period_s, 72 * 3600.0, options.seed
    faults = (Leaks(start_s=0.0, lasts_s=TURN_S, seed=seed), Fills(start_s=0.0, lasts_s=TURN_S, seed=seed))
    relations = Relations(load_fleet(shipped()))
    return assemble(
        Settings(
            device=DEVICE, firmware="virtual-1", hardware="Forewarn virtual device", model=DETECTOR,
            period_s=period_s, evidence_before_s=600.0, evidence_after_s=60.0,
            telemetry=options.profile, publish_every_min=0,
        ),
        clock=clock,
        collection=Collection((HostCollector(VirtualMachine(clock, DEVICE, faults)),)),
        pipeline=Pipeline(period_s=period_s, horizon_s=horizon_s, scorer=Scorer(), relations=relations),
        outbox=outbox,
        link=Link(host="127.0.0.1", port=port, tls=None, username=None, password=None, keepalive_s=30),
    )  # fmt: skip


def _run_offline(device: Device, days: float) -> None:
    """Wait for the end of the days offline; log each day, and what was written."""
    process, observer, began_s, day = psutil.Process(), device.observer, time.monotonic(), 1
    before = process.io_counters().write_bytes
    while not observer.clock.arrived:
        device.check()
        if observer.clock.now().uptime_s >= UP_S + day * DAY_S:
            _log(f"day {day} of {days:g}: {observer.samples} samples, store {observer.largest / MIB:.1f} MiB")
            day += 1
        time.sleep(0.1)
    wrote = process.io_counters().write_bytes - before - device.accepted_log.stat().st_size
    _log(
        f"{days:g} days offline in {time.monotonic() - began_s:.0f} s: {observer.samples} samples, "
        f"{wrote / days / MIB:.2f} MiB written a day, "
        f"store at most {observer.largest / MIB:.2f} MiB, its log {observer.largest_log / MIB:.2f} MiB"
    )


def _drain(device: Device) -> float:
    """Wait until the cloud has acknowledged all; return the seconds since the first connection."""
    observer, least, logged = device.observer, math.inf, 0
    began_s = moved_s = time.monotonic()
    while not observer.drained.wait(0.1):
        device.check()
        now_s = time.monotonic()
        if observer.left < least:
            least, moved_s = observer.left, now_s
        if now_s - moved_s > STUCK_S:
            raise SetupError(f"{observer.left:.0f} records are pending, and none was acknowledged for {STUCK_S:.0f} s")
        if (now_s - began_s) // LOG_EVERY_S > logged:
            logged += 1
            _log(f"{observer.left:.0f} records are pending")
    drain_s = time.monotonic() - observer.connected_s
    sent = device.agent.delivery.uplink.sent_bytes
    _log(f"drained in {drain_s:.1f} s: {sent / MIB:.2f} MiB, {sent / 1000 / drain_s:.1f} kB/s")
    return drain_s


def _send_the_rest(device: Device) -> None:
    """Stop the agent, and send the records that it writes when it stops."""
    device.stop.set()
    device.run.result()
    program = [sys.executable, "-m", "tests.chaos.device", "drain", "--name", DEVICE, "--state", str(device.state)]
    if subprocess.run([*program, "--mqtt-port", str(device.port)], check=False).returncode:
        _log("not everything was acknowledged")


def _verdict(
    options: argparse.Namespace, accounting: Accounting, observer: Observer, drain_s: float
) -> tuple[dict[str, object], bool]:
    for number in accounting.missing[:20]:
        _log(f"missing: {number}")
    lost = {str(kind): count for kind, count in accounting.declared_lost.items()}
    _log(f"declared lost: {lost or 'nothing'}; {accounting.accepted[Kind.LOSS]} records declare losses")
    verdict: dict[str, object] = {
        "days": options.days,
        "findings": accounting.accepted[Kind.FINDING],
        "evidence": accounting.accepted[Kind.EVIDENCE],
        "telemetry": accounting.accepted[Kind.TELEMETRY],
        "stored": accounting.stored,
        "declared_lost": accounting.declared_lost.total(),
        "evidence_lost": accounting.declared_lost[Kind.EVIDENCE],
        "missing": len(accounting.missing),
        "duplicates": accounting.duplicates,
        "largest_mib": round(observer.largest / MIB, 3),
        "budget_mib": options.budget_mib,
        "drain_s": round(drain_s, 1),
    }
    within = observer.largest <= options.budget_mib * MIB and observer.largest_log <= LOG_MIB * MIB
    return verdict, within and not accounting.missing and not accounting.duplicates


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
