"""The smoke test: run cloud, agent and virtual devices unattended. The last line is JSON; exit code 0 means passed."""

import json
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from firmware_stubs.clock import UP_S
from firmware_stubs.device import VirtualDevice
from firmware_stubs.faults import DiskFilling, Fault, MemoryLeak
from firmware_stubs.processes import Plan, Setup, free_port, running_setup

SPEED = 20.0
FAULTS: dict[str, tuple[Fault, ...]] = {
    "kiosk-01": (),
    "pump-07": (DiskFilling(start_s=UP_S + 60, lasts_s=840),),
    "meter-12": (MemoryLeak(start_s=UP_S + 60, lasts_s=1140),),
}
_SETTLE_S = 5.0  # real seconds after the last impact, in which a false case could still open


def smoke(stop: threading.Event) -> int:
    """Return 0 if each faulty device got exactly one case before its impact, and no other device got any."""
    with tempfile.TemporaryDirectory(prefix="forewarn-smoke-") as folder:
        plan = Plan(Path(folder), free_port(), free_port(), SPEED, FAULTS)
        with running_setup(plan, _progress) as setup:
            result = _watch(setup, stop)
    print(json.dumps(result), flush=True)
    early = {case["device"] for case in result["cases"] if case["lead_time_s"] > 0}
    faulty = {name for name, faults in FAULTS.items() if faults}
    passed = early == faulty and len(result["cases"]) == len(faulty) and not result["false_cases"]
    return 0 if passed else 1


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _watch(setup: Setup, stop: threading.Event) -> dict[str, Any]:
    process = psutil.Process(setup.agent.pid)
    stop.wait(_SETTLE_S)  # the agent's start is not its running cost
    setup.check()
    began, spent_s = time.monotonic(), _cpu_s(process)
    last_impact = max(fault.impact_s for device in setup.devices for fault in device.faults)
    while not stop.wait(1.0) and setup.devices[0].clock.now().uptime_s < last_impact + _SETTLE_S * SPEED:
        setup.check()
    elapsed_s = time.monotonic() - began
    own = {
        "cpu_percent": round((_cpu_s(process) - spent_s) / elapsed_s * 100, 3),
        "pss_mib": round(process.memory_full_info().pss / 2**20, 1),
    }
    cases = setup.console.cases()
    faulty = {device.name: device for device in setup.devices if device.faults}
    true = [_row(case, faulty[case["device"]]) for case in cases if _is_true_case(case, faulty)]
    return {"cases": true, "false_cases": len(cases) - len(true), "agent": own}


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _is_true_case(case: Any, faulty: dict[str, VirtualDevice]) -> bool:
    return case["device"] in faulty and [fault.code for fault in faulty[case["device"]].faults] == case["faults"]


def _row(case: Any, device: VirtualDevice) -> dict[str, Any]:
    """Lead time in the device's own seconds: independent of the speed of the simulation."""
    fault = device.faults[0]
    opened = datetime.fromisoformat(case["opened_at"])
    lead_s = (device.clock.real_time_of(fault.impact_s) - opened).total_seconds() * device.clock.speed
    return {"device": device.name, "fault": fault.code, "lead_time_s": round(lead_s, 1)}
