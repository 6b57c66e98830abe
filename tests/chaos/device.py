"""One device of the chaos: the real agent on virtual hardware, with a witness of what it has committed.

    python -m tests.chaos.device live  --name N --state DIR --ledger FILE --mqtt-port P --speed S
    python -m tests.chaos.device drain --name N --state DIR --mqtt-port P

`live` runs until SIGTERM. SIGUSR1 moves its wall clock a year on, and the next one back. Its memory leaks and is freed
again and again, so that it always has something to say. `drain` only sends what waits, and ends when all is
acknowledged. The ledger gets a line for each record after the outbox has taken it: what is in it was accepted.
"""

import argparse
import hashlib
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType

from edge_agent.agent import Agent, Settings
from edge_agent.collectors import Collection
from edge_agent.collectors.host import HostCollector
from edge_agent.connection import Link
from edge_agent.detection.pipeline import Pipeline
from edge_agent.losses import Gone, loss_of
from edge_agent.outbox import Outbox
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Presence, PresenceState, encode
from edge_agent.protocol.topics import Lane
from edge_agent.refuge import Refuge
from edge_agent.room import Room
from edge_agent.store import may_pass
from edge_agent.uplink import Uplink
from firmware_stubs.clock import UP_S, VirtualClock
from firmware_stubs.faults import MemoryLeak
from firmware_stubs.machine import VirtualMachine

YEAR = timedelta(days=366)
LEAK_EVERY_S, LEAK_S = 600.0, 400.0
LEAKS = 2000
DRAIN_S = 120.0


class SteppedClock(VirtualClock):
    """A virtual clock whose wall time can be stepped; its uptime can't."""

    def __init__(self, speed: float) -> None:
        super().__init__(speed)
        self.off = timedelta()

    def now(self) -> Instant:
        """Read the device's clocks."""
        now = super().now()
        return replace(now, wall=now.wall + self.off, synced=True)

    def step(self, _number: int, _frame: FrameType | None) -> None:
        """Move the wall clock a year on, or back again."""
        self.off = timedelta() if self.off else YEAR


class WitnessedOutbox(Outbox):
    """An outbox that writes down elsewhere what it has accepted."""

    def __init__(self, path: Path, ledger: Path) -> None:
        super().__init__(path)
        self._witness = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def take_over(self, other: Outbox, stood: Iterable[str]) -> None:
        """Commit what waited in memory, then write down."""
        above = {lane: self.last_seq(lane) for lane in Lane}
        super().take_over(other, stood)
        for lane in Lane:
            for seq, body in self.after(lane, above[lane], 2**31):
                self._write(lane, seq, body if lane is Lane.TELEMETRY else canonical(json.loads(body)))

    def put(
        self,
        records: Iterable[bytes],
        standing: Mapping[str, bytes | None] | None = None,
        *,
        given_up: Mapping[Lane, int] | None = None,
        declared: Iterable[Gone] = (),
    ) -> None:
        """Commit, then write down."""
        listed = list(records)
        super().put(listed, standing, given_up=given_up, declared=declared)
        last = self._lanes[Lane.FINDINGS].last_seq
        for seq, body in enumerate(listed, start=last - len(listed) + 1):
            self._write(Lane.FINDINGS, seq, canonical(json.loads(body)))

    def hold(self, record: bytes) -> None:
        """Take into memory, then write down."""
        super().hold(record)
        self._write(Lane.TELEMETRY, self._lanes[Lane.TELEMETRY].last_seq, record)

    def _write(self, lane: Lane, seq: int, body: bytes) -> None:
        digest = hashlib.sha256(body).hexdigest()
        line = json.dumps([lane, self.stream(lane), seq, digest])
        os.write(self._witness, f"{line}\n".encode())


class WitnessedRefuge(Refuge):
    """An outbox in memory, which accepts nothing: it counts once it is on the disk."""

    def __init__(self, path: Path, ledger: Path) -> None:
        super().__init__(path, Room())
        self._path, self._written_to = path, ledger

    def _open_home(self) -> Outbox:
        return WitnessedOutbox(self._path, self._written_to)


def an_outbox(path: Path, ledger: Path) -> Outbox:
    """Open it as the agent's command line does."""
    try:
        return WitnessedOutbox(path, ledger)
    except (OSError, sqlite3.OperationalError) as error:
        if not may_pass(error):
            raise
        print(f"on a disk that can't be written: {error}", file=sys.stderr, flush=True)
        return WitnessedRefuge(path, ledger)


def canonical(record: object) -> bytes:
    """Return a record of JSON so that equal ones are equal bytes."""
    return json.dumps(record, sort_keys=True).encode()


def main() -> int:
    """Run one subcommand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["live", "drain"])
    parser.add_argument("--name", required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder of the outbox")
    parser.add_argument("--ledger", type=Path, help="file that is appended to")
    parser.add_argument("--mqtt-port", type=int, required=True)
    parser.add_argument("--speed", type=float, default=60.0, help="seconds of the device's life in one real second")
    options = parser.parse_args()
    return live(options) if options.command == "live" else drain(options)


def live(options: argparse.Namespace) -> int:
    """Run the agent until SIGTERM."""
    stop, clock = threading.Event(), SteppedClock(options.speed)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGUSR1, clock.step)
    starts = (UP_S + 60 + LEAK_EVERY_S * number for number in range(LEAKS))
    leaks = tuple(MemoryLeak(start_s=start, lasts_s=LEAK_S) for start in starts)
    agent = Agent(
        Settings(
            device=options.name, firmware="chaos", hardware="virtual", model="", period_s=1.0,
            evidence_before_s=120.0, evidence_after_s=30.0, telemetry="full", publish_every_min=1,
        ),
        clock=clock,
        collection=Collection((HostCollector(VirtualMachine(clock, options.name, leaks)),)),
        pipeline=Pipeline(period_s=1.0, horizon_s=72 * 3600.0, scorer=None),
        outbox=an_outbox(options.state / "outbox.db", options.ledger),
        link=_link(options),
    )  # fmt: skip
    agent.run(stop)
    return 0


def drain(options: argparse.Namespace) -> int:
    """Send what waits; 0 when all of it is acknowledged."""
    clock, outbox = VirtualClock(), Outbox(options.state / "outbox.db")

    def presence(state: PresenceState) -> Presence:
        return Presence(state=state, at=clock.now(), agent="chaos")

    uplink = Uplink(
        device=options.name, link=_link(options), outbox=outbox, presence=presence, monotonic=time.monotonic
    )
    uplink.start()
    deadline = time.monotonic() + DRAIN_S
    while (left := sum(outbox.waiting(lane) for lane in Lane)) and time.monotonic() < deadline:
        if gone := outbox.undeclared():
            outbox.put([encode(loss_of(one, clock.now())) for one in gone], declared=gone)
        uplink.pump()
        time.sleep(0.05)
    uplink.stop()
    outbox.close()
    print(f"{options.name}: {left} records were not acknowledged within {DRAIN_S:.0f} s" if left else "", end="")
    return 1 if left else 0


def _link(options: argparse.Namespace) -> Link:
    return Link(
        host="127.0.0.1", port=options.mqtt_port, tls=None, username=None, password=None, keepalive_s=10
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
