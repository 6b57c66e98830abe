"""Missing-data rule: a series that was read steadily is no longer read. No threshold on a value detects that.

- A series is steady after ten minutes of readings, and missing after five minutes without one. Shorter gaps (a network
  adapter that is plugged in again, a chip that restarts, a busy minute) are not reported.
- A series that returned without intervention may be absent three times as long the next time.
- The absence of things that people plug, mount or switch (adapters, drives, file systems) has severity info, unless
  they were present for a day. Virtual adapters, session and removable mounts and swap are not monitored.
- All series of one thing make one finding. If half of all series are missing, that is one finding, too.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import metric_of, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Finding
from edge_agent.protocol.wording import duration

STEADY_S = 600.0
MISSING_S = 300.0
RETURN_FACTOR = 3.0  # times the longest absence so far
EXPIRES_S = 7 * 86_400.0  # after a week without it, the absence is normal for the device
SENSOR_STEADY_S = 3600.0
PLUGGED_STEADY_S = 86_400.0
_MOST_SERIES = 8
_EVERYTHING = "readings"
_THING = ("hw.name", "system.device", "network.interface.name", "system.filesystem.mountpoint")
_DRIVES = ("logical_disk", "physical_disk")  # named like sensors, but plugged like drives
_INTERMITTENT = (
    "system.paging.usage",
    "forewarn.process.file_descriptor.utilization",
    "systemd.unit.state",  # packages add and remove units, and only unhealthy units have a series
    "systemd.service.restarts",
    "forewarn.systemd.crashed",
    "forewarn.wifi.signal",  # present only while the adapter is connected
)
_VIRTUAL = ("veth", "docker", "br-", "virbr", "tap", "tun", "vnet", "wg", "ppp", "bnep", "p2p", "cni", "flannel")
_REMOVABLE = ("/run/user", "/media", "/run/media", "/mnt", "/tmp", "/snap")  # noqa: S108  mounts, not files


@dataclass(slots=True)
class _Known:
    """A series: when it appeared, its last value, how long it has been absent, and the allowed absence."""

    since_s: float
    value: float
    steady_s: float = 0.0
    absent_s: float = 0.0
    allowed_s: float = MISSING_S


class Missing:
    """Tracks every series that is read steadily."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._absent: set[str] = set()
        self._last: Mapping[str, float] = {}
        self._last_s = 0.0

    def step(self, values: Mapping[str, float], at_s: float) -> list[Verdict]:
        """Return a verdict for each thing whose series have been missing for too long."""
        present, before = values.keys(), self._last
        for series in self._absent & present:
            self._return(series, at_s)
        for series in present - self._known.keys():
            if _is_monitored(series):
                self._known[series] = _Known(at_s, values[series])
        for series in (before.keys() & self._known.keys()) - present - self._absent:
            known = self._known[series]
            known.value, known.steady_s, known.absent_s = before[series], self._last_s - known.since_s, 0.0
            self._absent.add(series)
        passed_s, self._last, self._last_s = at_s - self._last_s, values, at_s
        self._add_absence(passed_s)
        return list(self._verdicts()) if self._absent else []

    def resume(self, finding: Finding) -> None:
        """Resume what was missing when the agent stopped."""
        if finding.fault in ("data.missing", "sensor.silent"):
            for carrier in finding.carriers:
                known = _Known(0.0, carrier.value, steady_s=PLUGGED_STEADY_S, absent_s=MISSING_S)
                self._known[carrier.metric] = known
                self._absent.add(carrier.metric)

    def _return(self, series: str, at_s: float) -> None:
        known = self._known[series]
        if known.absent_s >= MISSING_S:
            known.allowed_s = max(known.allowed_s, RETURN_FACTOR * known.absent_s)
            known.since_s = at_s
        self._absent.discard(series)

    def _add_absence(self, passed_s: float) -> None:
        """Add to the absences. Drop series that were never steady, or have been missing for a week."""
        for series in list(self._absent):
            known = self._known[series]
            known.absent_s += passed_s
            steady = known.steady_s >= STEADY_S
            if (known.absent_s >= MISSING_S and not steady) or known.absent_s >= max(EXPIRES_S, 2 * known.allowed_s):
                del self._known[series]
                self._absent.discard(series)

    def _verdicts(self) -> Iterator[Verdict]:
        """Group the missing series by thing, or into one verdict if half of all steady series are missing."""
        gone = sorted(name for name in self._absent if self._known[name].absent_s >= self._known[name].allowed_s)
        steady = len(self._known)
        if 2 * len(gone) >= steady and len(gone) > _MOST_SERIES:
            yield self._verdict("data.missing", _EVERYTHING, gone, None)
            return
        things: dict[tuple[str, str], list[str]] = defaultdict(list)
        for series in gone:
            things[_thing(series)].append(series)
        for (kind, thing), missing in things.items():
            fault = "sensor.silent" if kind == "hw.name" else "data.missing"
            steady_s = max(self._known[series].steady_s for series in missing)
            yield self._verdict(fault, thing, missing, Severity.INFO if steady_s < _least_s(kind) else None)

    def _verdict(self, fault: str, thing: str, missing: list[str], severity: Severity | None) -> Verdict:
        absent_s = max(self._known[series].absent_s for series in missing)
        steady_s = max(self._known[series].steady_s for series in missing)
        what = missing[0] if len(missing) == 1 else f"{len(missing)} series"
        carriers = tuple(
            Carrier(metric=series, value=self._known[series].value, unit=metric_of(series).unit, share=1 / len(missing))
            for series in missing[:_MOST_SERIES]
        )
        return Verdict(
            fault=fault,
            component=thing,
            confidence=1.0,
            reason=f"no reading of {what} for {duration(absent_s)}, after {duration(steady_s)} without a gap",
            severity=severity,
            carriers=carriers,
            basis=Basis(evaluated=tuple(missing[:_MOST_SERIES])),
        )


def _thing(series: str) -> tuple[str, str]:
    """Return what a series belongs to: the identifying attribute and its value, or the metric itself."""
    attributes = series_attributes(series)
    if attributes.get("hw.type") in _DRIVES:
        return "system.device", attributes["hw.name"]
    for kind in _THING:
        if kind in attributes:
            return kind, attributes[kind]
    return "", series_name(series)


def _least_s(kind: str) -> float:
    """Return how long a thing must have been present for its absence to exceed severity info."""
    return {"": 0.0, "hw.name": SENSOR_STEADY_S}.get(kind, PLUGGED_STEADY_S)


def _is_monitored(series: str) -> bool:
    if series_name(series) in _INTERMITTENT:
        return False
    kind, thing = _thing(series)
    if kind == "network.interface.name":
        return not thing.startswith(_VIRTUAL)
    if kind == "system.filesystem.mountpoint":
        return not thing.startswith(_REMOVABLE)
    return True
