"""The real agent of this machine with a machine that it knows already: an hour of a virtual pump was its healthy start.

What flows in: the agent's configuration file. It runs until SIGTERM. Without this an agent would learn for an hour, and
use no network until then.
"""

import signal
import sys
import threading
from pathlib import Path

from edge_agent.assembly import make_agent
from edge_agent.clock import SystemClock
from edge_agent.config import load
from firmware_stubs.pump import PumpCollector, VirtualPump

PUMP = "Feed pump"
START_S = 3600


def main() -> int:
    """Learn the start at once, then run."""
    agent, stop = make_agent(load(Path(sys.argv[1]))), threading.Event()
    pump, now_s = PumpCollector(PUMP, VirtualPump(PUMP)), SystemClock().now().uptime_s
    for second in range(START_S):
        agent.pipeline.machines.step(pump.readings(float(second)), now_s - START_S + second)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    agent.run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
