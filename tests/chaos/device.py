"""One device of the chaos: the real agent on virtual hardware, with a log of the records that its outbox has accepted.

    python -m tests.chaos.device live  --name N --state DIR --accepted-log FILE --mqtt-port P --speed S
    python -m tests.chaos.device drain --name N --state DIR --mqtt-port P

`live` runs until SIGTERM. SIGUSR1 moves its wall clock a year on, and the next one back. Its memory leaks and is freed
again and again, so that it keeps producing findings. `drain` only sends what the outbox holds, and ends when all is
acknowledged.
"""

import argparse
import signal
import sys
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType

from edge_agent.assembly import Settings, assemble
from edge_agent.collectors import Collection
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Pipeline
from edge_agent.outbox import Outbox
from edge_agent.outbox.loss_table import loss_record
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Presence, PresenceState, encode
from edge_agent.protocol.topics import Lane
from edge_agent.uplink.mqtt_connection import Link
from edge_agent.uplink.uplink import Uplink
from firmware_stubs.clock import UP_S, VirtualClock
from firmware_stubs.faults import MemoryLeak
from firmware_stubs.machine import VirtualMachine
from tests.chaos.recording_outbox import open_outbox

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


def main() -> int:
    """Run one subcommand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["live", "drain"])
    parser.add_argument("--name", required=True)
    parser.add_argument("--state", type=Path, required=True, help="folder of the outbox")
    parser.add_argument("--accepted-log", type=Path, help="file that is appended to")
    parser.add_argument("--mqtt-port", type=int, required=True)
    parser.add_argument("--speed", type=float, default=60.0, help="seconds of the device's time in one real second")
    options = parser.parse_args()
    return live(options) if options.command == "live" else drain(options)


def live(options: argparse.Namespace) -> int:
    """Run the agent until SIGTERM."""
    stop, clock = threading.Event(), SteppedClock(options.speed)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGUSR1, clock.step)
    starts = (UP_S + 60 + LEAK_EVERY_S * number for number in range(LEAKS))
    leaks = tuple(MemoryLeak(start_s=start, lasts_s=LEAK_S) for start in starts)
    agent = assemble(
        Settings(
            device=options.name, firmware="chaos", hardware="virtual", model="", period_s=1.0,
            evidence_before_s=120.0, evidence_after_s=30.0, telemetry="full", publish_every_min=1,
        ),
        clock=clock,
        collection=Collection((HostCollector(VirtualMachine(clock, options.name, leaks)),)),
        pipeline=Pipeline(period_s=1.0, horizon_s=72 * 3600.0, scorer=None),
        outbox=open_outbox(options.state / "outbox.db", options.accepted_log),
        link=_link(options),
    )  # fmt: skip
    agent.run(stop)
    return 0


def drain(options: argparse.Namespace) -> int:
    """Send what the outbox holds; 0 when all of it is acknowledged."""
    clock, outbox = VirtualClock(), Outbox(options.state / "outbox.db")

    def presence(state: PresenceState) -> Presence:
        return Presence(state=state, at=clock.now(), agent="chaos")

    uplink = Uplink(
        device=options.name, link=_link(options), outbox=outbox, presence=presence, monotonic=time.monotonic
    )
    uplink.start()
    deadline = time.monotonic() + DRAIN_S
    while (left := sum(outbox.waiting(lane) for lane in Lane)) and time.monotonic() < deadline:
        if lost := outbox.undeclared():
            outbox.put([encode(loss_record(one, clock.now())) for one in lost], declared=lost)
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
