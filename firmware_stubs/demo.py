"""The demo: watch a device warn before it fails, told in the terminal, shown in the console."""

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
from firmware_stubs.faults import DiskFilling, Fault, MemoryLeak
from firmware_stubs.processes import Plan, Stage, StageError, is_taken, on_stage

log = logging.getLogger(__name__)

MARKER = ".forewarn-demo"
DISK = DiskFilling(start_s=UP_S + 15, lasts_s=120)
MEMORY = MemoryLeak(start_s=UP_S + 15, lasts_s=360)


def demo(folder: Path, *, web_port: int, mqtt_port: int, speed: float, stop: threading.Event) -> None:
    """Run until `stop` is set. Raises StageError."""
    for variable, port in (("WEB_PORT", web_port), ("MQTT_PORT", mqtt_port)):
        if is_taken(port):
            raise StageError(f"port {port} is taken; choose another: make demo {variable}={port + 10}")
    _empty(folder)
    plan = Plan(folder, web_port, mqtt_port, speed, {"kiosk-01": (), "pump-07": (DISK,), "meter-12": (MEMORY,)})
    with on_stage(plan, say) as stage:
        print(
            f"\n  Console   {stage.console.url}\n  User      {stage.console.user}\n"
            f"  Password  {stage.console.password}\n\n"
            "  kiosk-01 is healthy, pump-07 has begun to fill its disk, meter-12 to leak memory.\n"
            "  Open the console and watch; Ctrl-C ends the demo.\n",
            flush=True,
        )
        _narrate(stage, stop)
        say("stopping")
    say("everything has stopped; nothing was left running")


def _empty(folder: Path) -> None:
    """Begin anew, but delete nothing that an earlier demo has not made."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise StageError(f"{folder} holds something else than a demo; name another with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()


def say(text: str) -> None:
    """Print a line with the time of day."""
    print(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {text}", flush=True)


def _narrate(stage: Stage, stop: threading.Event) -> None:
    told: set[str] = set()
    while not stop.wait(1.0):
        stage.check()
        try:
            news = list(_news(stage))
        except OSError as error:  # a busy machine: ask again
            log.warning("the console did not answer: %s", error)
            continue
        for key, text in news:
            if key not in told:
                told.add(key)
                say(text)


def _news(stage: Stage) -> Iterator[tuple[str, str]]:
    """Yield all there is to tell so far, each with a key that stays the same."""
    cases = stage.console.cases()
    for case in cases:
        yield f"case {case['number']}", f"case #{case['number']} opened: {case['title']}{_left(case)}"
    for device in stage.devices:
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
        return "No case had been opened"
    lead_s = (device.clock.real_time_of(fault.impact_s) - min(opened)).total_seconds() * device.clock.speed
    return f"Its case was opened {duration(lead_s)} earlier" if lead_s > 0 else "Its case was opened too late"
