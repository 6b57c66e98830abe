"""A healthy, connected day of a device at speed: what it sends, and what it writes to storage.

    python -m tests.bench.day --state DIR --mqtt-port P [--hours 24]

The real agent on virtual hardware, with a clock that runs as fast as it can. What it wrote is printed as JSON; what it
sent is counted by who started it. The link's own life (keep-alive, TCP) runs in real time and is not in here.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen

import psutil

from firmware_stubs.clock import UP_S, VirtualClock
from firmware_stubs.device import VirtualDevice
from firmware_stubs.processes import free_port, running_cloud, running_mosquitto
from tests.chaos.proxy import Proxy

DAY_S = 86_400.0
SPEED = 600.0


def a_day(folder: Path, hours: float = 24.0) -> dict[str, float]:
    """Let a device live for so long in a process of its own; return bytes sent and written in 24 hours."""
    with ExitStack() as stack:
        broker_port, web_port = free_port(), free_port()
        stack.enter_context(running_mosquitto(folder, broker_port))
        options = ("--broker", f"mqtt://127.0.0.1:{broker_port}")
        stack.enter_context(running_cloud(folder, web_port, broker_port, *options))
        proxy = Proxy(broker_port)
        proxy.start()
        stack.callback(proxy.stop)
        command = [sys.executable, "-m", "tests.bench.day", "--state", str(folder / "day"), "--hours", str(hours)]
        with Popen([*command, "--mqtt-port", str(proxy.port)], stdout=PIPE) as device:
            output, _ = device.communicate()
        if device.returncode:
            raise RuntimeError(f"the device ended with exit code {device.returncode}")
        wrote: dict[str, float] = json.loads(output)
        return {name: value * 24 / hours for name, value in {**wrote, "sent_bytes": proxy.sent_bytes}.items()}


def main() -> int:
    """Live, and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True, help="folder of the outbox")
    parser.add_argument("--mqtt-port", type=int, required=True)
    parser.add_argument("--hours", type=float, default=24.0, help="of the device's life")
    options = parser.parse_args()
    options.state.mkdir(parents=True, exist_ok=True)
    clock = VirtualClock(SPEED)
    device = VirtualDevice("day", clock, (), ("127.0.0.1", options.mqtt_port), options.state)
    before = psutil.Process().io_counters().write_bytes
    device.start()
    while clock.now().uptime_s < UP_S + options.hours * 3600 and device.error is None:
        time.sleep(1.0)
        hours = (clock.now().uptime_s - UP_S) / 3600
        print(f"  {hours:.1f} of {options.hours:.0f} h", file=sys.stderr, end="\r")
    device.stop()
    print(json.dumps({"written_bytes": psutil.Process().io_counters().write_bytes - before}))
    return 1 if device.error else 0


if __name__ == "__main__":
    sys.exit(main())
