"""Readings that another program writes into a file every second: a line `SERIES VALUE` for each channel of a machine.

What flows in: the path of the file, written to a temporary name and renamed, so that it is always whole. What flows
out: `{series: value}`. A file that has not been written for ten seconds gives no readings: its program has stopped.
Nothing in the file can block the agent, nor stand for what the agent reads itself.
"""

import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from edge_agent.collectors.collection import PartlyRead
from edge_agent.protocol.instant import Instant

STALE_S = 10.0
AHEAD_S = 1.0  # of the clock: further in the future, a file's time is wrong
MOST_BYTES = 64 * 1024
MOST_SERIES = 64  # twice the channels that a machine may have
_RESERVED = ("system.", "systemd.", "forewarn.")  # series of the agent's own collectors
_OF_MACHINES = "forewarn.machine."
_Version = tuple[int, int, int]  # of a file: any write changes it


class ReadingsFileCollector:
    """Reads one file of readings."""

    def __init__(self, machine: str, path: Path) -> None:
        self.name = f"machine {machine}"
        self._path = path
        self._version: _Version | None = None
        self._changed_at_s = 0.0

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Read the file. Raises OSError if it can't be read or is stale, PartlyRead naming wrong lines."""
        content, status = _read_regular(self._path)
        self._check_age(status, now.uptime_s)
        lines, not_read = _lines(content)
        values, wrong = _parsed(lines)
        if wrong or not_read:
            raise PartlyRead(values, wrong | not_read)
        return values

    def _check_age(self, status: os.stat_result, uptime_s: float) -> None:
        """Raise OSError if the file is stale, by its time, or by the agent's clock if its time is in the future."""
        version = (status.st_ino, status.st_size, status.st_mtime_ns)
        if version != self._version:
            self._version, self._changed_at_s = version, uptime_s
        age_s = time.time() - status.st_mtime
        if age_s > STALE_S:
            raise OSError(f"{self._path} was last written {age_s:.0f} s ago; start the program that writes it")
        unchanged_s = uptime_s - self._changed_at_s
        if age_s < -AHEAD_S and unchanged_s > STALE_S:
            raise OSError(
                f"{self._path} has not changed for {unchanged_s:.0f} s, and its time is {-age_s:.0f} s in the future; "
                "start the program that writes it, and check the clock"
            )


def _read_regular(path: Path) -> tuple[bytes, os.stat_result]:
    """Return up to MOST_BYTES + 1 bytes of a regular file; a FIFO or a device is never waited for. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file; write a file to another name, and rename it to this one")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MOST_BYTES + 1), status
    finally:
        os.close(descriptor)


def _lines(content: bytes) -> tuple[list[tuple[int, str]], dict[str, str]]:
    """Return the numbered lines that are not empty, each of them whole, and what of the file is not read."""
    wrong: dict[str, str] = {}
    if len(content) > MOST_BYTES:
        content = content[:MOST_BYTES].rpartition(b"\n")[0]
        wrong["size"] = f"longer than {MOST_BYTES // 1024} KiB; the rest is not read"
    text = content.decode(errors="replace")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(lines) > MOST_SERIES:
        wrong["lines"] = f"{len(lines)} lines; only the first {MOST_SERIES} are read, write no other series"
    return lines[:MOST_SERIES], wrong


def _parsed(lines: Iterable[tuple[int, str]]) -> tuple[dict[str, float], dict[str, str]]:
    """Return the readings, and what is wrong with each line that is none."""
    values: dict[str, float] = {}
    wrong: dict[str, str] = {}
    for number, line in lines:
        series, _, value = line.strip().rpartition(" ")
        try:
            reading = float(value if series else "")
        except ValueError:
            wrong[f"line {number}"] = f"{line[:80]!r} is not SERIES VALUE"
            continue
        if series.startswith(_RESERVED) and not series.startswith(_OF_MACHINES):
            wrong[f"line {number}"] = f"{line[:80]!r} has a name of the agent's own series; name it {_OF_MACHINES}*"
            continue
        values[series.strip()] = reading
    return values, wrong
