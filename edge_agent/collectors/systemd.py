"""The systemd collector: which services have failed, and how often systemd has restarted which. No privilege.

What flows in: what `systemctl show` prints. What flows out: `{series: value}`. Of the services only those are named
that have failed or been restarted, and of a template's instances only the template: an instance is often an address,
an account or the name of a network (`sshd@7-192.0.2.1:22-192.0.2.9:50022.service`).

The program is started and looked for again at later samples, so that a systemd that does not answer holds up nothing.
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
_ASK_EVERY_S = 60.0
_PATIENCE_S = 20.0
_MOST_NAMED = 32  # units with series of their own; the one that has been well for longest gives way
_STATES = "failed,running,activating,deactivating,reloading"  # the others neither fail nor are restarted
_PROPERTIES = ("Id", "ActiveState", "NRestarts", "Restart", "Result", "Transient")
_RESTARTED_FOR_FAILURES = frozenset({"on-failure", "on-abnormal", "on-abort", "on-watchdog"})  # systemd.service(5)

_Unit = Mapping[str, str]


class SystemdCollector:
    """Asks systemd once a minute, for units whose names match `units` and not `exclude` (patterns of the shell)."""

    name = "systemd"

    def __init__(
        self,
        units: Iterable[str] = ("*.service",),
        exclude: Iterable[str] = (),
        *,
        show: tuple[str, ...] = SHOW,
        root: Path = Path("/"),
    ) -> None:
        """`show` is the command that is given options and patterns."""
        options = (f"--state={_STATES}", f"--property={','.join(_PROPERTIES)}", "--no-pager", "--")
        self._command, self._exclude = (*show, *options, *units), tuple(exclude)
        self._booted = root / "run/systemd/system"
        self._asked: tuple[subprocess.Popen[bytes], BinaryIO] | None = None
        self._killed: subprocess.Popen[bytes] | None = None
        self._asked_at_s = float("-inf")
        self._named: dict[str, None] = {}  # units with series of their own, the latest to be unwell last
        self._crashed: set[str] = set()
        self._values: dict[str, float] = {}
        self._error = ""

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return the last answer; nothing before there is one, or where systemd is not the init system."""
        if self._killed and self._killed.poll() is not None:
            self._killed = None
        if self._asked is None and self._killed is None and now.uptime_s - self._asked_at_s >= _ASK_EVERY_S:
            if not self._booted.is_dir():  # sd_booted(3)
                return {}
            self._ask(now.uptime_s)
        if self._asked is not None:
            self._take_answer(*self._asked, now.uptime_s)
        if self._error:
            raise OSError(self._error)
        return self._values

    def _ask(self, at_s: float) -> None:
        self._asked_at_s = at_s
        answer = os.fdopen(os.memfd_create("systemctl"), "r+b")  # a pipe would be full before it is read
        try:
            process = subprocess.Popen(  # noqa: S603  the patterns come from our own configuration, after `--`
                self._command, stdin=subprocess.DEVNULL, stdout=answer, stderr=subprocess.STDOUT
            )
        except OSError as error:
            answer.close()
            self._error = str(error)
        else:
            self._asked = process, answer

    def _take_answer(self, process: subprocess.Popen[bytes], answer: BinaryIO, at_s: float) -> None:
        """Take the answer if it is there."""
        if process.poll() is None and at_s - self._asked_at_s < _PATIENCE_S:
            return
        self._asked = None
        with answer:
            answer.seek(0)
            output = answer.read().decode(errors="replace")
        if process.returncode is None:
            process.kill()
            self._killed = process  # it may hang in the kernel for as long as a dying card does
            self._error = f"systemd has not answered for {_PATIENCE_S:.0f} s"
        elif process.returncode:
            self._error = output.strip().partition("\n")[0] or f"{self._command[0]} ended with {process.returncode}"
        else:
            try:
                self._values, self._error = dict(self._read(output)), ""
            except ValueError as error:
                self._error = f"the answer is not understood: {error}"

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

    def _name(self, unwell: list[str]) -> None:
        for name in unwell:
            self._named.pop(name, None)
            self._named[name] = None
        while len(self._named) > _MOST_NAMED:
            del self._named[next(iter(self._named))]
        self._crashed &= self._named.keys()


def unit_failed(name: str) -> str:
    """Name the series that is 1 while a unit is failed."""
    return series("systemd.unit.state", systemd__unit__active_state="failed", systemd__unit__name=name)


def parse(output: str) -> Iterator[_Unit]:
    """Yield the properties of each unit: lines of NAME=VALUE, an empty line between two units."""
    for block in output.split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in unit:
            yield unit


def without_instance(unit: str) -> str:
    """Leave out what a template was instantiated with: `getty@tty1.service` becomes `getty@.service`."""
    prefix, at, rest = unit.partition("@")
    return f"{prefix}@.{rest.rpartition('.')[2]}" if at else unit
