"""Words for people: times relative to now, quantities with human units, names of metrics, states and labels.

What flows in: values. What flows out: short plain English. `static/console.js` says times in the same words, so that
a page reads the same before and after its script has started.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cloud.store.tables import CaseState, Label
from edge_agent.protocol import wording
from edge_agent.protocol.metrics import series_attributes, series_name

LABELS = {
    Label.TRUE_FAULT: ("True fault", "the device was about to fail, or failed"),
    Label.FALSE_ALARM: ("False alarm", "nothing was wrong, and nothing had changed"),
    Label.EXPECTED: ("Expected", "somebody did that on purpose"),
    Label.NO_FAULT_FOUND: ("No fault found", "something was reported, and nothing could be found"),
    Label.DUPLICATE: ("Duplicate", "another case is about the same"),
}

STATES = {
    CaseState.NEW: "New",
    CaseState.OPEN: "Open",
    CaseState.PENDING_REMINDER: "Waiting",
    CaseState.PENDING_CLOSE: "Closing",
    CaseState.CLOSED: "Closed",
    CaseState.MERGED: "Merged",
}

PRESENCE = {"online": "Online", "offline": "Offline", "going_down": "Going down"}

JUDGES = {"rule": "a rule", "trend": "a trend", "model": "the model"}

_METRICS = {
    "system.cpu.utilization": "CPU use",
    "system.cpu.load_average.1m": "Load, 1 min",
    "system.cpu.load_average.5m": "Load, 5 min",
    "system.cpu.load_average.15m": "Load, 15 min",
    "system.cpu.frequency": "CPU clock",
    "system.memory.usage": "Memory",
    "system.memory.limit": "Memory of the machine",
    "system.linux.memory.available": "Memory available",
    "system.paging.usage": "Swap",
    "system.paging.operations": "Pages moved",
    "system.paging.faults": "Page faults",
    "system.filesystem.usage": "File system",
    "system.filesystem.inodes.usage": "Inodes",
    "system.filesystem.read_only": "File system read-only",
    "system.disk.io": "Disk traffic",
    "system.disk.operations": "Disk transfers",
    "system.disk.io_time": "Disk busy",
    "system.network.io": "Network traffic",
    "system.network.packet.count": "Network packets",
    "system.network.errors": "Network errors",
    "system.network.packet.dropped": "Network packets dropped",
    "hw.temperature": "Temperature",
    "hw.temperature.limit": "Temperature limit",
    "hw.fan.speed": "Fan speed",
    "hw.status": "Hardware status",
    "hw.errors": "File system errors",
    "hw.physical_disk.endurance_utilization": "Flash endurance left",
    "hw.battery.charge": "Battery charge",
    "forewarn.battery.capacity.utilization": "Battery capacity left",
    "forewarn.cpu.throttled": "CPU slowed by firmware",
    "forewarn.wifi.signal": "Wi-Fi signal",
    "systemd.unit.state": "Service state",
    "systemd.service.restarts": "Service restarts",
    "forewarn.systemd.crashed": "Service crashed",
    "forewarn.systemd.failed_units": "Failed services",
    "system.process.count": "Processes",
    "system.process.created": "Processes started",
    "forewarn.file_descriptor.usage": "Open files",
    "forewarn.file_descriptor.limit": "Open files allowed",
    "forewarn.process.file_descriptor.utilization": "Open files of the fullest process",
    "forewarn.memory.oom_kills": "Programs killed for memory",
    "system.uptime": "Uptime",
    "forewarn.agent.cpu.utilization": "CPU use of the agent",
    "forewarn.agent.memory.usage": "Memory of the agent",
    "forewarn.agent.unreadable": "Sources the agent can't read",
    "forewarn.agent.written": "Written by the agent",
}

_UNITS = {
    "1": "",
    "Cel": "°C",
    "{fd}": "open files",
    "{inode}": "inodes",
    "{process}": "processes",
    "{thread}": "threads",
    "{packet}": "packets",
    "{error}": "errors",
    "{restart}": "restarts",
    "{source}": "sources",
    "{unit}": "units",
    "{operation}": "operations",
    "{fault}": "faults",
    "{record}": "records",
}
_BINARY = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))


def duration(seconds: float, *, coarse: bool = False) -> str:
    """Return a length of time in at most two units, or in one if `coarse`: ``3 h 10 min``, ``45 s``, ``2 d 4 h``.

    In one unit it counts what is complete, as people do with ages: after 119 min something is 1 h old.
    """
    seconds = max(0.0, seconds)
    if not coarse or seconds < 89.5:
        return wording.duration(seconds)
    if seconds < 5400:
        return f"{int(seconds // 60)} min"
    return f"{int(seconds // 3600)} h" if seconds < 172_800 else f"{int(seconds // 86_400)} d"


def ago(then: datetime, now: datetime) -> str:
    """Return how long ago something was, in one unit."""
    return f"{duration((now - then).total_seconds(), coarse=True)} ago"


def countdown(impact: datetime, now: datetime) -> str:
    """Return how long until the customer would notice, or how long ago that was due."""
    left = (impact - now).total_seconds()
    return f"in {duration(left)}" if left > 0 else f"due {duration(-left)} ago"


def interval(low: datetime, high: datetime, now: datetime) -> str:
    """Return the range of a time to impact, ``between 2 h 40 min and 3 h 50 min``; empty if it is none in words."""
    soonest, latest = (low - now).total_seconds(), (high - now).total_seconds()
    if soonest > 0:
        first, last = duration(soonest), duration(latest)
        return f"between {first} and {last}" if first != last else ""
    if latest > 0:
        return f"any moment now, in {duration(latest)} at the latest"
    return f"the latest estimate passed {duration(-latest)} ago"


def clock(at: datetime) -> str:
    """Return an exact instant in UTC, for readers without JavaScript; the script says it in the reader's zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Scale:
    """A human unit: raw values times `factor` are in `unit`, which may be empty."""

    factor: float
    unit: str


def scale_for(values: Sequence[float | None], unit: str) -> Scale:
    """Choose one human unit for all of these values, whose own unit is UCUM."""
    plain, _, per = unit.partition("/")
    tail = f"/{per}" if per else ""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    if plain == "By":
        divisor, name = next((d, n) for d, n in _BINARY if largest >= d or d == 1)
        return Scale(1 / divisor, name + tail)
    if plain == "Hz":
        return Scale(1e-6, "MHz" + tail)
    if plain == "1" and largest <= 1.5 and not per:
        return Scale(100.0, "%")
    if plain.startswith("{") and plain not in _UNITS:
        return Scale(1.0, plain.strip("{}") + tail)
    return Scale(1.0, (_UNITS.get(plain, plain) + tail).removeprefix("/") if not per else _per(plain, per))


def _per(plain: str, per: str) -> str:
    name = _UNITS.get(plain, plain)
    return f"{name}/{per}" if name else f"per {per}"


def number(value: float) -> str:
    """Return a number as exact as a reader needs: ``1,250``, ``29.7``, ``3.43``, ``0.49``."""
    size = abs(value)
    if size >= 1e15:
        return f"{value:.2e}"
    if size >= 1 or size == 0:
        decimals = 0 if size >= 100 else 1 if size >= 10 else 2
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if decimals else text
    return f"{value:.1e}" if size < 0.001 else f"{value:.2g}"


def quantity(value: float, unit: str) -> str:
    """Return a value with its human unit: ``29.7 GiB``, ``81 °C``, ``42 %``."""
    scale = scale_for([value], unit)
    return f"{number(value * scale.factor)} {scale.unit}".rstrip()


def span(low: float | None, high: float | None, unit: str) -> str:
    """Return an expected range in one human unit: ``40 to 55 °C``; empty when nothing is known."""
    if low is None or high is None:
        known = high if low is None else low
        return "" if known is None else f"{'up to' if low is None else 'from'} {quantity(known, unit)}"
    scale = scale_for([low, high], unit)
    return f"{number(low * scale.factor)} to {number(high * scale.factor)} {scale.unit}".rstrip()


def metric_words(series: str) -> str:
    """Return a series' name for people: ``File system (/ used)`` for its OpenTelemetry name with attributes.

    What is no metric of ours stays as it is.
    """
    name = _METRICS.get(series_name(series), series_name(series))
    values = " ".join(series_attributes(series).values())
    return f"{name} ({values})" if values else name


def percent(share: float) -> str:
    """Return a share as whole percent; what is not nothing is not shown as nothing."""
    return "under 1 %" if 0 < share < 0.01 else f"{share * 100:.0f} %"
