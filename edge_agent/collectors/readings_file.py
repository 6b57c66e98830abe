"""Readings that another program writes into a file every second: a line `SERIES VALUE` for each channel of a machine.

What flows in: the path of the file, written to a temporary name and renamed, so that it is always whole. What flows
out: `{series: value}`. A file that has not been written for ten seconds gives no readings: its program has stopped.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from edge_agent.collectors.collection import PartlyRead
from edge_agent.protocol.instant import Instant

STALE_S = 10.0
MOST_BYTES = 64 * 1024


class ReadingsFileCollector:
    """Reads one file of readings."""

    def __init__(self, machine: str, path: Path) -> None:
        self.name = f"machine {machine}"
        self._path = path

    def collect(self, now: Instant) -> Mapping[str, float]:  # noqa: ARG002  a file's age is wall time
        """Read the file. Raises OSError if it can't be read or is stale, PartlyRead naming wrong lines."""
        with self._path.open() as file:
            text = file.read(MOST_BYTES)
        age_s = time.time() - self._path.stat().st_mtime
        if age_s > STALE_S:
            raise OSError(f"{self._path} was last written {age_s:.0f} s ago; start the program that writes it")
        values, wrong = _parsed(text)
        if wrong:
            raise PartlyRead(values, wrong)
        return values


def _parsed(text: str) -> tuple[dict[str, float], dict[str, str]]:
    """Return the readings, and what is wrong with each line that is none; empty lines are allowed."""
    values: dict[str, float] = {}
    wrong: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        series, _, value = line.strip().rpartition(" ")
        try:
            if series:
                values[series.strip()] = float(value)
            elif value:
                raise ValueError
        except ValueError:
            wrong[f"line {number}"] = f"{line[:80]!r} is not SERIES VALUE"
    return values, wrong
