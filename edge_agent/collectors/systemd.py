"""systemd collector: failed services, and restarts of services. Needs no privilege.

What flows in: the output of `systemctl show`. What flows out: `{series: value}`. Only services that have failed or were
restarted have series. Instances are reported as their template: an instance is often an address, an account or the
name of a network (`sshd@7-192.0.2.1:22-192.0.2.9:50022.service`).

The program runs in the background and its output is read at a later sample, so a hanging systemd blocks nothing.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO

from edge_agent.collectors.collection import Reading
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series

FAILED_UNITS = "forewarn.systemd.failed_units"
SHOW = ("systemctl", "show")
_QUERY_EVERY_S = 60.0
_TIMEOUT_S = 20.0
_MOST_NAMED = 32  # units with their own series; the one that has been healthy for longest is evicted
_STATES = "failed,running,activating,deactivating,reloading"  # other states neither fail nor restart
_PROPERTIES = ("Id", "ActiveState", "NRestarts", "Restart", "Result", "Transient")
_RESTARTED_FOR_FAILURES = frozenset({"on-failure", "on-abnormal", "on-abort", "on-watchdog"})  # systemd.service(5)

_Unit = Mapping[str, str]


class SystemdCollector:
    """Queries systemd once a minute for units that match `units` and not `exclude` (shell patterns)."""

    name = "systemd"

    def __init__(
        self,
        units: Iterable[str] = ("*.service",),
        exclude: Iterable[str] = (),
        *,
        show: tuple[str, ...] = SHOW,
        root: Path = Path("/"),
    ) -> None:
        """`show` is the command; options and patterns are appended."""
        options = (f"--state={_STATES}", f"--property={','.join(_PROPERTIES)}", "--no-pager", "--")
        self._command, self._exclude = (*show, *options, *units), tuple(exclude)
        self._booted = root / "run/systemd/system"
        self._process: tuple[subprocess.Popen[bytes], BinaryIO] | None = None
        self._killed: subprocess.Popen[bytes] | None = None
        self._queried_at_s = float("-inf")
        self._named: dict[str, None] = {}  # units with their own series, the last to be unhealthy at the end
        self._crashed: set[str] = set()
        self._values: dict[str, float] = {}
        self._error = ""

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return the last answer; empty before the first one, or if systemd is not the init system."""
        if self._killed and self._killed.poll() is not None:
            self._killed = None
        if self._process is None and self._killed is None and now.uptime_s - self._queried_at_s >= _QUERY_EVERY_S:
            if not self._booted.is_dir():  # sd_booted(3)
                return {}
            self._query(now.uptime_s)
        if self._process is not None:
            self._take_answer(*self._process, now.uptime_s)
        if self._error:
            raise OSError(self._error)
        return self._values

    def _query(self, at_s: float) -> None:
        self._queried_at_s = at_s
        answer = os.fdopen(os.memfd_create("systemctl"), "r+b")  # a pipe could block before it is read
        try:
            process = subprocess.Popen(  # noqa: S603  the patterns come from our configuration, after `--`
                self._command, stdin=subprocess.DEVNULL, stdout=answer, stderr=subprocess.STDOUT
            )
        except OSError as error:
            answer.close()
            self._error = str(error)
        else:
            self._process = process, answer

    def _take_answer(self, process: subprocess.Popen[bytes], answer: BinaryIO, at_s: float) -> None:
        """Read the answer if the program has ended or timed out."""
        if process.poll() is None and at_s - self._queried_at_s < _TIMEOUT_S:
            return
        self._process = None
        with answer:
            answer.seek(0)
            output = answer.read().decode(errors="replace")
        if process.returncode is None:
            process.kill()
            self._killed = process  # it may hang in the kernel while a failing card does not respond
            self._error = f"systemd has not answered for {_TIMEOUT_S:.0f} s"
        elif process.returncode:
            self._error = output.strip().partition("\n")[0] or f"{self._command[0]} ended with {process.returncode}"
        else:
            try:
                self._values, self._error = dict(self._read(output)), ""
            except ValueError as error:
                self._error = f"can't parse the answer: {error}"

    def _read(self, output: str) -> Iterator[Reading]:
        failed: set[str] = set()
        restarts: dict[str, int] = {}
        count = 0
        for unit in parse(output):
            if unit.get("Transient") == "yes" or any(fnmatchcase(unit["Id"], pattern) for pattern in self._exclude):
                continue
            name = without_instance(unit["Id"])
            if "NRestarts" in unit:  # services only
                restarts[name] = restarts.get(name, 0) + int(unit["NRestarts"])
            if unit.get("ActiveState") == "failed":
                failed.add(name)
                count += 1
            if unit.get("Restart") in _RESTARTED_FOR_FAILURES or unit.get("Result", "success") != "success":
                self._crashed.add(name)
        yield FAILED_UNITS, count
        self._name(sorted(failed | {name for name, times in restarts.items() if times}))
        for name in self._named:
            yield unit_failed(name), float(name in failed)
            if name in restarts:
                yield series("systemd.service.restarts", systemd__unit__name=name), float(restarts[name])
                yield series("forewarn.systemd.crashed", systemd__unit__name=name), float(name in self._crashed)

    def _name(self, unhealthy: list[str]) -> None:
        for name in unhealthy:
            self._named.pop(name, None)
            self._named[name] = None
        while len(self._named) > _MOST_NAMED:
            del self._named[next(iter(self._named))]
        self._crashed &= self._named.keys()


def unit_failed(name: str) -> str:
    """Return the name of the series that is 1 while a unit is failed."""
    return series("systemd.unit.state", systemd__unit__active_state="failed", systemd__unit__name=name)


def parse(output: str) -> Iterator[_Unit]:
    """Yield the properties of each unit: lines of NAME=VALUE, an empty line between two units."""
    for block in output.split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in unit:
            yield unit


def without_instance(unit: str) -> str:
    """Remove the instance name: `getty@tty1.service` becomes `getty@.service`."""
    prefix, at, rest = unit.partition("@")
    return f"{prefix}@.{rest.rpartition('.')[2]}" if at else unit
