"""A process that does not run can't be killed."""

import sys
from pathlib import Path

from tests.chaos.programs import Program


def test_only_a_running_process_counts_as_killed(tmp_path: Path) -> None:
    program = Program("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    assert not program.kill()
    program.start()
    assert program.kill()
    assert not program.kill()
