"""A real disk: a file system of 64 MiB is filled at 1 MiB/s by another program while the real agent monitors it."""

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from firmware_stubs.processes import running_agent, running_cloud
from tests.journeys.conftest import cases_of, eventually

pytestmark = pytest.mark.journey

# Runs in a mount namespace of its own, so that no other agent on this machine sees the disk. Writes when it was full.
FILLER = """
import errno, pathlib, sys, time
from datetime import datetime, UTC
block, name = b"x" * 2**20, 0
began = time.monotonic()
try:
    with open(sys.argv[1] + "/data", "wb", buffering=0) as file:
        while True:
            if file.write(block) < len(block):
                raise OSError(errno.ENOSPC, "short write")
            name += 1
            time.sleep(max(0.0, began + name - time.monotonic()))
except OSError as error:
    assert error.errno == errno.ENOSPC, error
    pathlib.Path(sys.argv[2]).write_text(datetime.now(UTC).isoformat())
"""


def can_mount() -> bool:
    """Return whether this process may create a mount namespace and mount a tmpfs in it."""
    if os.geteuid() or not shutil.which("unshare"):
        return False
    trial = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="mounting is not allowed here")
def test_the_case_opens_before_the_first_write_fails(
    tmp_path: Path, ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, full_at = tmp_path / "disk", tmp_path / "full-at"
    disk.mkdir()
    with running_cloud(tmp_path, *ports) as (console, _):
        mount, fill = f"mount -t tmpfs -o size=64m tmpfs {disk}", f'{sys.executable} -c "$FILLER" {disk} {full_at}'
        script = f'{mount} || exit; {fill} & exec "$@"'
        agent = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
        monkeypatch.setenv("FILLER", FILLER)
        with running_agent(tmp_path, "pump-07", ports[1], *agent):
            (case,) = eventually(lambda: cases_of(console, "pump-07"), "a case", 90)
            eventually(full_at.exists, "the disk to be full", 90)
        full = datetime.fromisoformat(full_at.read_text())
        lead_s = (full - datetime.fromisoformat(case["opened_at"])).total_seconds()
        print(f"lead time: {lead_s:.1f} s")
        assert case["faults"] == ["disk.filling"]
        assert case["severity"] == "critical"
        assert lead_s > 0
        assert len(console.cases()) == 1
