"""The demo: devices report a fault before its impact. The terminal prints events, the console shows the cases."""

import logging
import shutil
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge_agent.protocol.wording import duration
from firmware_stubs.clock import UP_S
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import DiskFilling, Fault, MemoryLeak, PumpFault
from firmware_stubs.processes import Plan, Setup, SetupError, is_in_use, running_setup

log = logging.getLogger(__name__)

MARKER = ".forewarn-demo"
DISK = DiskFilling(start_s=UP_S + 15, lasts_s=120)
MEMORY = MemoryLeak(start_s=UP_S + 15, lasts_s=360)
BEARING = PumpFault(kind="bearing-wear", start_s=UP_S + 30, lasts_s=300)
FAULTS: dict[str, tuple[Fault, ...]] = {
    "kiosk-01": (),
    "pump-07": (DISK,),
    "meter-12": (MEMORY,),
    "plant-03": (BEARING,),
}


def demo(folder: Path, *, web_port: int, mqtt_port: int, speed: float, stop: threading.Event) -> None:
    """Run until `stop` is set. Raises SetupError."""
    for variable, port in (("WEB_PORT", web_port), ("MQTT_PORT", mqtt_port)):
        if is_in_use(port):
            raise SetupError(f"port {port} is in use; choose another: make demo {variable}={port + 10}")
    _empty(folder)
    plan = Plan(folder, web_port, mqtt_port, speed, FAULTS, {"plant-03": "Feed pump"})
    with running_setup(plan, report) as setup:
        print(
            f"\n  Console   {setup.console.url}\n  User      {setup.console.user}\n"
            f"  Password  {setup.console.password}\n\n"
            "  kiosk-01 is healthy. The disk of pump-07 is filling up. meter-12 leaks memory.\n"
            "  The bearing of the feed pump beside plant-03 wears out.\n"
            "  Open the console in a browser. Press Ctrl-C to stop the demo.\n",
            flush=True,
        )
        _report_events(setup, stop)
        report("stopping all processes")
    report("all processes have stopped")


def _empty(folder: Path) -> None:
    """Delete an earlier demo. Raises SetupError if the folder holds anything else."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise SetupError(f"{folder} contains files that are not from a demo; choose another folder with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def report(text: str) -> None:
    """Print a line with the time of day."""
    print(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {text}", flush=True)


def _report_events(setup: Setup, stop: threading.Event) -> None:
    reported: set[str] = set()
    while not stop.wait(1.0):
        setup.check()
        try:
            events = list(_events(setup))
        except OSError as error:  # a busy machine: ask again
            log.warning("the console did not respond: %s", error)
            continue
        for key, text in events:
            if key not in reported:
                reported.add(key)
                report(text)


def _events(setup: Setup) -> Iterator[tuple[str, str]]:
    """Yield all events so far, each with a stable key."""
    cases = setup.console.cases()
    for case in cases:
        yield f"case {case['number']}", f"case #{case['number']} opened: {case['title']}{_left(case)}"
    for device in setup.devices:
        for fault in device.faults:
            if device.clock.now().uptime_s >= fault.impact_s:
                yield f"impact {device.name}", f"{device.name}: {fault.impact}. {_lead(device, fault, cases)}"


def _left(case: Mapping[str, Any]) -> str:
    if not case.get("impact_at"):
        return ""
    seconds = (datetime.fromisoformat(case["impact_at"]) - datetime.now(UTC)).total_seconds()
    return f", expected in {duration(max(0.0, seconds))}"


def _lead(device: VirtualDevice, fault: Fault, cases: list[Mapping[str, Any]]) -> str:
    opened = [datetime.fromisoformat(case["opened_at"]) for case in cases if case["device"] == device.name]
    if not opened:
        return "No case was open"
    lead_s = (device.clock.real_time_of(fault.impact_s) - min(opened)).total_seconds() * device.clock.speed
    return f"Its case was opened {duration(lead_s)} earlier" if lead_s > 0 else "Its case was opened too late"
