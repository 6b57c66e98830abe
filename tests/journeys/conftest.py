"""Journeys: real processes, a real broker, a real database, read over the console's own API."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from firmware_stubs.cloud_client import Console
from firmware_stubs.processes import NoMosquittoError, free_port, running_mosquitto

T = TypeVar("T")
Cases = list[Mapping[str, Any]]


def missing(what: str) -> NoReturn:
    """Skip for a program that is not installed; fail in CI, where it must be."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing")


def eventually(look: Callable[[], T], what: str, timeout_s: float = 30.0) -> T:
    """Poll until `look` returns something; fail with `what` on a timeout."""
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
def mosquitto(folder: Path, port: int, *settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Mosquitto for a test that can be skipped without it."""
    with ExitStack() as stack:
        try:
            process = stack.enter_context(running_mosquitto(folder, port, *settings))
        except NoMosquittoError:
            missing("mosquitto")
        yield process


def verdict_of(program: str, *options: str) -> dict[str, Any]:
    """Run a short version of a long test program, which must pass. Return the JSON of its last line."""
    command = [sys.executable, "-m", program, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if str(NoMosquittoError()) in done.stderr:
        missing("mosquitto")
    assert done.returncode == 0, done.stderr
    verdict: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return verdict


@pytest.fixture
def ports() -> tuple[int, int]:
    """A free web port and a free MQTT port."""
    return free_port(), free_port()
