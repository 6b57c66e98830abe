"""A blow at something dead is no kill."""

import sys
from pathlib import Path

from tests.chaos.__main__ import Program


def test_only_a_process_that_lives_can_be_killed(tmp_path: Path) -> None:
    program = Program("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    assert not program.kill()
    program.start()
    assert program.kill()
    assert not program.kill()
