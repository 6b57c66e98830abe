"""End to end: from a device that starts to fail to one case in the console, before the impact."""

import json
import subprocess
import sys

import pytest

# The smoke run monitors this machine too, and would report the disks that the chaos run fills.
pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("disks of this machine")]


def test_smoke_each_faulty_device_gets_one_case_before_its_impact_and_no_other_device_gets_any() -> None:
    command = [sys.executable, "-m", "firmware_stubs", "smoke"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    result = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr + done.stdout
    assert {case["device"]: case["fault"] for case in result["cases"]} == {
        "pump-07": "disk.filling",
        "meter-12": "memory.leak",
    }
    assert all(case["lead_time_s"] > 300 for case in result["cases"])
    assert result["false_cases"] == 0
    assert result["agent"]["pss_mib"] > 0
