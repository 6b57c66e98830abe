"""Missing data: what had been read steadily is not read any more. A fault that no threshold on a value can see.

- A series counts as steady once it has been there for ten minutes, and as missing after five minutes away: a network
  adapter that is plugged in again within a minute, a reboot of a chip or a busy minute are nobody's business.
- What came back by itself may stay away three times as long the next time: it comes and goes by nature.
- Things that are plugged, mounted or switched by people (adapters, drives, file systems) are for information unless
  they had been there for a day. Virtual adapters, session and removable mounts and swap are not watched at all.
- All series of one thing make one finding; when half of everything is gone, that is one finding too.
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
COMES_BACK = 3.0  # times the longest absence so far
FORGOTTEN_S = 7 * 86_400.0  # after a week that is how the device is
SENSOR_STEADY_S = 3600.0
PLUGGED_STEADY_S = 86_400.0
_MOST_METRICS = 8
_EVERYTHING = "readings"
_THING = ("hw.name", "system.device", "network.interface.name", "system.filesystem.mountpoint")
_DRIVES = ("logical_disk", "physical_disk")  # named like sensors, and plugged like drives
_BY_NATURE = (
    "system.paging.usage",
    "forewarn.process.file_descriptor.utilization",
    "systemd.unit.state",  # units come and go with packages, and are named when they are unwell only
    "systemd.service.restarts",
    "forewarn.systemd.crashed",
    "forewarn.wifi.signal",  # there only while it is connected
)
_VIRTUAL = ("veth", "docker", "br-", "virbr", "tap", "tun", "vnet", "wg", "ppp", "bnep", "p2p", "cni", "flannel")
_BY_HAND = ("/run/user", "/media", "/run/media", "/mnt", "/tmp", "/snap")  # noqa: S108  mounts, not files


@dataclass(slots=True)
class _Known:
    """A series: since when it has been there, the last value, for how long it is away, and how long it may be."""

    since_s: float
    value: float
    steady_s: float = 0.0
    away_s: float = 0.0
    patience_s: float = MISSING_S


class Missing:
    """Remembers every series that comes steadily."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._away: set[str] = set()
        self._last: Mapping[str, float] = {}
        self._last_s = 0.0

    def step(self, values: Mapping[str, float], at_s: float) -> list[Verdict]:
        """Return a verdict for each thing of which nothing has been heard for too long."""
        present, before = values.keys(), self._last
        for series in self._away & present:
            self._return(series, at_s)
        for series in present - self._known.keys():
            if _is_watched(series):
                self._known[series] = _Known(at_s, values[series])
        for series in (before.keys() & self._known.keys()) - present - self._away:
            known = self._known[series]
            known.value, known.steady_s, known.away_s = before[series], self._last_s - known.since_s, 0.0
            self._away.add(series)
        passed_s, self._last, self._last_s = at_s - self._last_s, values, at_s
        self._let_pass(passed_s)
        return list(self._verdicts()) if self._away else []

    def resume(self, finding: Finding) -> None:
        """Resume what was missing when the agent stopped."""
        if finding.fault in ("data.missing", "sensor.silent"):
            for carrier in finding.carriers:
                known = _Known(0.0, carrier.value, steady_s=PLUGGED_STEADY_S, away_s=MISSING_S)
                self._known[carrier.metric] = known
                self._away.add(carrier.metric)

    def _return(self, series: str, at_s: float) -> None:
        known = self._known[series]
        if known.away_s >= MISSING_S:
            known.patience_s = max(known.patience_s, COMES_BACK * known.away_s)
            known.since_s = at_s
        self._away.discard(series)

    def _let_pass(self, passed_s: float) -> None:
        """Count absences; what was hardly there, or has been away for a week, is forgotten."""
        for series in list(self._away):
            known = self._known[series]
            known.away_s += passed_s
            steady = known.steady_s >= STEADY_S
            if (known.away_s >= MISSING_S and not steady) or known.away_s >= max(FORGOTTEN_S, 2 * known.patience_s):
                del self._known[series]
                self._away.discard(series)

    def _verdicts(self) -> Iterator[Verdict]:
        """Group by thing, and everything into one if half of all that was steady is gone."""
        gone = sorted(name for name in self._away if self._known[name].away_s >= self._known[name].patience_s)
        steady = len(self._known)
        if 2 * len(gone) >= steady and len(gone) > _MOST_METRICS:
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
        away_s = max(self._known[series].away_s for series in missing)
        steady_s = max(self._known[series].steady_s for series in missing)
        what = missing[0] if len(missing) == 1 else f"{len(missing)} series"
        carriers = tuple(
            Carrier(metric=series, value=self._known[series].value, unit=metric_of(series).unit, share=1 / len(missing))
            for series in missing[:_MOST_METRICS]
        )
        return Verdict(
            fault=fault,
            component=thing,
            confidence=1.0,
            reason=f"{what} not read for {duration(away_s)}, after {duration(steady_s)} without a gap",
            severity=severity,
            carriers=carriers,
            basis=Basis(evaluated=tuple(missing[:_MOST_METRICS])),
        )


def _thing(series: str) -> tuple[str, str]:
    """Name what a series is of: the attribute that says so and its value, or the metric itself."""
    attributes = series_attributes(series)
    if attributes.get("hw.type") in _DRIVES:
        return "system.device", attributes["hw.name"]
    for kind in _THING:
        if kind in attributes:
            return kind, attributes[kind]
    return "", series_name(series)


def _least_s(kind: str) -> float:
    """For how long a thing must have been there for its absence to be more than information."""
    return {"": 0.0, "hw.name": SENSOR_STEADY_S}.get(kind, PLUGGED_STEADY_S)


def _is_watched(series: str) -> bool:
    if series_name(series) in _BY_NATURE:
        return False
    kind, thing = _thing(series)
    if kind == "network.interface.name":
        return not thing.startswith(_VIRTUAL)
    if kind == "system.filesystem.mountpoint":
        return not thing.startswith(_BY_HAND)
    return True
