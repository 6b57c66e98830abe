"""The command line of the virtual devices: `virtual-devices demo | smoke | run`.

Exit codes: 0 success, 1 the smoke test or a process failed, 2 wrong command line.
"""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from firmware_stubs import pump
from firmware_stubs.clock import UP_S, VirtualClock
from firmware_stubs.demo import demo
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import CoolingLost, DiskFilling, Fault, MemoryLeak, PumpFault
from firmware_stubs.processes import SetupError
from firmware_stubs.smoke import smoke

KINDS: dict[str, Callable[..., Fault] | None] = {
    "healthy": None,
    "disk-filling": DiskFilling,
    "memory-leak": MemoryLeak,
    "cooling-lost": CoolingLost,
} | {f"pump-{kind}": partial(PumpFault, kind=kind) for kind in pump.KINDS}


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        code: int = arguments.command(arguments, stop)
    except SetupError as error:
        print(f"virtual-devices: {error}", file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtual-devices", description="Run virtual devices with injected faults under the real agent."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _demo_options(commands.add_parser("demo", help="run a cloud, the real agent and four virtual devices until Ctrl-C"))
    test = commands.add_parser("smoke", help="run the demo unattended and check the result; the last line is JSON")
    test.set_defaults(command=lambda _arguments, stop: smoke(stop))
    _run_options(commands.add_parser("run", help="run virtual devices against your own broker until Ctrl-C"))
    return parser


def _demo_options(show: argparse.ArgumentParser) -> None:
    show.add_argument("--web-port", type=int, default=8080, help="port of the console (default: 8080)")
    show.add_argument("--mqtt-port", type=int, default=1883, help="port of the broker (default: 1883)")
    show.add_argument("--speed", type=float, default=1.0, help="speed of the virtual devices' clocks (default: 1)")
    show.add_argument(
        "--folder",
        type=Path,
        default=Path("build/demo"),
        help="folder for state and logs; an earlier demo in it is deleted",
    )
    show.set_defaults(command=_demo)


def _run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("device", nargs="+", metavar="NAME=KIND", help=f"KIND is one of {', '.join(KINDS)}")
    run.add_argument(
        "--broker", default="mqtt://localhost:1883", help="mqtt://HOST:PORT (default: mqtt://localhost:1883)"
    )
    run.add_argument("--speed", type=float, default=1.0, help="speed of the devices' clocks (default: 1)")
    run.add_argument(
        "--start",
        type=float,
        default=60.0,
        help="seconds of device time until the faults start (default: 60)",
    )
    run.add_argument(
        "--lasts",
        type=float,
        default=3600.0,
        help="seconds of device time from the start of a fault to its impact (default: 3600)",
    )
    run.add_argument("--folder", type=Path, default=Path("build/devices"), help="folder for the devices' outboxes")
    run.set_defaults(command=_run)


def _demo(arguments: argparse.Namespace, stop: threading.Event) -> int:
    demo(
        arguments.folder,
        web_port=arguments.web_port,
        mqtt_port=arguments.mqtt_port,
        speed=arguments.speed,
        stop=stop,
    )
    return 0


def _run(arguments: argparse.Namespace, stop: threading.Event) -> int:
    address = urlsplit(arguments.broker)
    broker = (address.hostname or "localhost", address.port or 1883)
    devices = []
    for text in arguments.device:
        name, _, kind = text.partition("=")
        if kind not in KINDS:
            print(f"virtual-devices: {text!r}: KIND must be one of {', '.join(KINDS)}", file=sys.stderr)
            return 2
        faults = _faults(kind, arguments.start, arguments.lasts)
        device = VirtualDevice(name, VirtualClock(arguments.speed), faults, broker, arguments.folder)
        device.pump = "Pump" if kind.startswith("pump-") else ""
        devices.append(device)
    for device in devices:
        device.start()
    print(
        f"{len(devices)} virtual devices run at {arguments.speed:g}x against {arguments.broker}; Ctrl-C stops them",
        flush=True,
    )
    stop.wait()
    for device in devices:
        device.stop()
    return 0


def _faults(kind: str, start_s: float, lasts_s: float) -> tuple[Fault, ...]:
    make = KINDS[kind]
    return () if make is None else (make(start_s=UP_S + start_s, lasts_s=lasts_s),)
