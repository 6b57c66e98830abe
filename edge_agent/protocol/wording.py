"""Format numbers, durations and metric names for people, the same on the device and in the console."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent.protocol.metrics import series_attributes, series_name

_METRICS = {
    "system.cpu.utilization": "CPU use",
    "system.cpu.load_average.1m": "Load, 1 min",
    "system.cpu.load_average.5m": "Load, 5 min",
    "system.cpu.load_average.15m": "Load, 15 min",
    "system.cpu.frequency": "CPU clock",
    "system.memory.usage": "Memory",
    "system.memory.limit": "Total memory",
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
    "forewarn.cpu.throttled": "CPU throttled by firmware",
    "forewarn.wifi.signal": "Wi-Fi signal",
    "forewarn.machine.flow": "Flow",
    "forewarn.machine.pressure": "Pressure",
    "forewarn.machine.current": "Current",
    "forewarn.machine.voltage": "Voltage",
    "forewarn.machine.power": "Power",
    "forewarn.machine.vibration": "Vibration",
    "systemd.unit.state": "Service state",
    "systemd.service.restarts": "Service restarts",
    "forewarn.systemd.crashed": "Service crashed",
    "forewarn.systemd.failed_units": "Failed services",
    "system.process.count": "Processes",
    "system.process.created": "Processes started",
    "forewarn.file_descriptor.usage": "Open files",
    "forewarn.file_descriptor.limit": "Open files limit",
    "forewarn.process.file_descriptor.utilization": "Open files of the process nearest its limit",
    "forewarn.memory.oom_kills": "Programs killed (out of memory)",
    "system.uptime": "Uptime",
    "forewarn.agent.cpu.utilization": "CPU use of the agent",
    "forewarn.agent.memory.usage": "Memory of the agent",
    "forewarn.agent.unreadable": "Sources the agent cannot read",
    "forewarn.agent.written": "Written by the agent",
    "forewarn.agent.sent": "Sent by the agent",
    "forewarn.agent.expected.malformed": "Messages on expected trends that the agent cannot read",
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


def duration(seconds: float) -> str:
    """Format a time span: 45 s, 9 min, 3 h 10 min, 2 d 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


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

    An unknown metric name is returned unchanged.
    """
    name = _METRICS.get(series_name(series), series_name(series))
    values = " ".join(series_attributes(series).values())
    return f"{name} ({values})" if values else name
