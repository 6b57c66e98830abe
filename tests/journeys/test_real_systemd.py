"""A real systemd: one service fails, one crashes repeatedly, one is healthy, and the real collector reads them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.collectors.systemd import SystemdCollector
from edge_agent.detection import Pipeline
from edge_agent.protocol.records import Finding, Phase
from edge_agent.sample import Sample
from tests.builders import an_instant
from tests.journeys.conftest import eventually, missing

pytestmark = pytest.mark.journey

MANAGER = "/usr/lib/systemd/systemd"
UNITS = {
    "healthy.service": "[Service]\nExecStart=/bin/sleep 600\n",
    "fails@.service": "[Service]\nExecStart=/bin/false\n",
    "loops.service": "[Unit]\nStartLimitIntervalSec=0\n"
    "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=1ms\n",
}
# Where systemd is not the init system, a manager refuses to start: in this mount namespace it seems to be.
BOOTED = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec " + MANAGER + " --user --log-target=console"
Systemctl = Callable[..., str]


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemctl]:
    """Run a separate manager; return a function that runs systemctl for it."""
    if not Path(MANAGER).exists() or not shutil.which("systemctl"):
        missing("systemd")
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("a mount namespace is not allowed here")
    for name in ("u", "config/systemd/user", "run/systemd/system"):
        (tmp_path / name).mkdir(parents=True, mode=0o700)
    for name, content in UNITS.items():
        (tmp_path / "config/systemd/user" / name).write_text(content)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "u"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    with (tmp_path / "log").open("wb") as log:
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", BOOTED]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        try:
            eventually((tmp_path / "u/systemd/private").exists, "the manager", 10)
        except pytest.fail.Exception:
            if process.poll() is None:
                raise
            pytest.skip(f"systemd does not run here: {(tmp_path / 'log').read_text()[-200:]}")
        yield (
            lambda *arguments: (
                subprocess.run(
                    ["systemctl", "--user", *arguments], capture_output=True, text=True, check=True, timeout=20
                ).stdout
            )
        )
    finally:
        process.terminate()
        process.wait(20)


def restarts(systemctl: Systemctl) -> int:
    """Return how often the service was restarted."""
    return int(systemctl("show", "--value", "--property=NRestarts", "loops.service"))


def test_a_failed_service_and_a_crash_loop_open_findings_that_clear_after_recovery(
    tmp_path: Path, systemctl: Systemctl
) -> None:
    """Between two reads a minute passes on the agent's clock, and in real time a few restarts."""
    systemctl("start", "healthy.service", "fails@192.0.2.7.service", "loops.service")
    collector = SystemdCollector(root=tmp_path, show=("systemctl", "--user", "show"))
    pipeline = Pipeline(period_s=1.0, horizon_s=3600.0, scorer=None)
    findings: list[Finding] = []

    def minutes(begin: int, end: int, *, looping: bool) -> None:
        for minute in range(begin, end):
            if looping:
                before = restarts(systemctl)
                eventually(lambda before=before: restarts(systemctl) > before + 2, "restarts", 10)  # type: ignore[misc]
            collector.collect(an_instant(60.0 * minute))
            if collector._process:
                collector._process[0].wait(20)
            for second in range(0, 60, 5):
                now = an_instant(60.0 * minute + second)
                outcome = pipeline.step(Sample(at=now, values=collector.collect(now)), now)
                findings.extend(announcement.finding for announcement in outcome.announcements)

    minutes(0, 8, looping=True)
    opened = {(one.fault, one.component): one for one in findings if one.phase is Phase.OPEN}
    assert opened.keys() == {("service.failed", "fails@.service"), ("process.crash_loop", "loops.service")}
    assert "192.0.2.7" not in repr(findings)

    systemctl("stop", "loops.service")
    systemctl("reset-failed")
    minutes(8, 50, looping=False)
    assert {(one.fault, one.component) for one in findings if one.phase is Phase.CLEAR} == opened.keys()
