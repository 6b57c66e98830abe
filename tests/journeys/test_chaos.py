"""A short chaos in every run of the tests; `make chaos` is the long one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journeys.conftest import missing

pytestmark = pytest.mark.journey


def test_after_ten_seconds_of_kills_every_record_is_accounted_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--seconds", "10", "--seed", "3", "--keep", str(tmp_path)]
    done = subprocess.run([*command, "--databases", "sqlite"], capture_output=True, text=True, check=False)
    if "there is no Mosquitto here" in done.stderr:
        missing("mosquitto")
    assert done.returncode == 0, done.stderr
    books = json.loads(done.stdout.splitlines()[-1])
    assert books["kills"] >= 2
    assert books["stored"] >= 20
    assert books["missing"] == books["duplicates"] == 0
