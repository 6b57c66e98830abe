"""The real agent of this machine with its networks in use from the start.

What flows in: the agent's configuration file. It runs until SIGTERM. Without this an agent would use the network for
trends at its first trend after a day of history, and that of a machine after an hour of learning: here an hour of a
virtual pump is the healthy start of the machine that is configured, if one is.
"""

import signal
import sys
import threading
from pathlib import Path

import numpy as np

from edge_agent.assembly import make_agent
from edge_agent.clock import SystemClock
from edge_agent.config import load
from firmware_stubs.pump import PumpCollector, VirtualPump

PUMP = "Feed pump"
START_S = 3600


def main() -> int:
    """Load the network for trends, learn the start of a machine at once, then run."""
    agent, stop = make_agent(load(Path(sys.argv[1]))), threading.Event()
    network = agent.pipeline.network
    if network is None:
        raise SystemExit("the network for trends can't be used")
    network.run(np.zeros((1, len(network.features))))
    pump, now_s = PumpCollector(PUMP, VirtualPump(PUMP)), SystemClock().now().uptime_s
    for second in range(START_S if agent.pipeline.machines.series else 0):
        agent.pipeline.machines.step(pump.readings(float(second)), now_s - START_S + second)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    agent.run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
