"""Whatever ends a run early, the records are accounted for and the last line is JSON."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import FaultInjector
from tests.chaos.interrupt import Interrupt
from tests.chaos.programs import Setup, running_setup
from tests.chaos.run import ChaosRun
from tests.journeys.conftest import missing

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("disks of this machine")]


def interrupted(by: signal.Signals, *at: str) -> tuple[int, dict[str, Any]]:
    """Run it, and send a signal at each line of stderr that starts with `at`; return exit code and last line."""
    if not shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin"):
        missing("mosquitto")
    command = [sys.executable, "-m", "tests.chaos", "--databases", "sqlite", "--seconds", "60", "--settle-s", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if at and line.strip().startswith(at[0]):
                process.send_signal(by)
                at = at[1:]
        out = process.stdout.read() if process.stdout else ""
    last: dict[str, Any] = json.loads(out.splitlines()[-1])
    return process.returncode, last


def test_a_signal_ends_the_run_with_every_record_accounted_for() -> None:
    code, last = interrupted(signal.SIGTERM, "3.")
    assert code == 2
    assert "SIGTERM" in last["error"]
    assert last["accepted"] >= last["stored"] > 0
    assert last["missing"] == last["duplicates"] == 0


def test_a_second_signal_skips_recovery_and_records_are_still_counted() -> None:
    code, last = interrupted(signal.SIGINT, "2.", "everything is repaired")
    assert code == 2
    assert last["missing"] == 0
    assert last["accepted"] == last["stored"] + last["declared_lost"] + last["unverified"]


def test_a_setup_that_fails_is_an_error_with_a_last_line(tmp_path: Path) -> None:
    (tmp_path / "sqlite/cloud").mkdir(parents=True)
    command = [sys.executable, "-m", "tests.chaos", "--databases", "sqlite", "--keep", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 2
    assert last["error"]
    assert last["accepted"] == 0


@pytest.fixture
def setup(tmp_path: Path) -> Any:
    """A running setup on SQLite."""
    if not shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin"):
        missing("mosquitto")
    tmp_path.chmod(0o755)
    with running_setup(tmp_path, "sqlite") as running:
        yield running


def test_an_error_during_injection_ends_it_and_records_are_accounted_for(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: FaultInjector) -> str:
        raise OSError("Read-only file system")

    monkeypatch.setattr(FaultInjector, "inject_one", broken)
    run = ChaosRun(Interrupt(), settle_s=1.0)
    run.perform(setup, random.Random(1), 60.0)
    assert run.error == "OSError: Read-only file system"
    assert run.drained
    assert run.accounting.accepted.total() > 0
    assert not run.accounting.missing


def test_faults_that_overlap_on_one_device_lose_no_record(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk is full, then also read-only before the ballast is deleted, then full again."""
    if not setup.disks[setup.agents[0].name].available:
        pytest.skip("mounting is not allowed here")
    device = setup.agents[0]
    order: list[Callable[[FaultInjector], str]] = [
        lambda injector: injector.fill(device, 2.0),
        lambda injector: injector.protect(device, 4.0),
        lambda injector: injector.fill(device, 2.0),
        lambda injector: injector.kill(device, 1.0),
    ]
    monkeypatch.setattr(FaultInjector, "inject_one", lambda injector: order.pop(0)(injector) if order else "none")
    run = ChaosRun(Interrupt(), settle_s=1.0)
    run.perform(setup, random.Random(1), 12.0)
    assert not order
    assert run.error is None
    assert run.kills == 2
    assert run.drained
    assert run.accounting.accepted.total() > 0
    assert not run.accounting.missing
    assert run.accounting.duplicates == 0
