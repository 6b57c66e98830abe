"""Journeys: real processes, a real broker, a real database, read over the console's own API."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from firmware_stubs.console import Console
from firmware_stubs.stage import free_port, is_taken

T = TypeVar("T")
Cases = list[Mapping[str, Any]]


def missing(what: str) -> None:
    """Skip for something that is not installed; where CI says that it must be, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI promises it")
    pytest.skip(f"{what} is missing")


def eventually(look: Callable[[], T], what: str, timeout_s: float = 30.0) -> T:
    """Look again until there is something; fail with `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    pytest.fail(f"waited {timeout_s:.0f} s for {what}")


def cases_of(console: Console, device: str) -> Cases:
    """Return the cases of one device."""
    return [case for case in console.cases() if case["device"] == device]


@contextmanager
def mosquitto(folder: Path, port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Debian's Mosquitto on a port of loopback, with further lines of its configuration."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        missing("mosquitto")
    assert program is not None
    config = folder / "mosquitto.conf"
    config.write_text("\n".join([f"listener {port} 127.0.0.1", "allow_anonymous true", *options, ""]))
    with (folder / "mosquitto.log").open("ab") as log:
        process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: is_taken(port), "mosquitto to listen", 10)
            yield process
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def ports() -> tuple[int, int]:
    """A web port and an MQTT port that nobody uses."""
    return free_port(), free_port()
