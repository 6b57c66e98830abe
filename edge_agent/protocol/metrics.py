"""The metric names Forewarn uses, with unit, kind and resolution.

Names, attributes and units follow OpenTelemetry's semantic conventions for systems and hardware where these
have the thing (https://opentelemetry.io/docs/specs/semconv/system/, .../hardware/), units are UCUM.
Names that start with ``forewarn.`` are ours.

A series is a name with its attributes in one string: ``system.disk.io{disk.io.direction=read,system.device=sda}``.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class Kind(StrEnum):
    """How the readings of a series are to be understood."""

    GAUGE = "gauge"  # a level: the reading itself is the value
    COUNTER = "counter"  # a total since boot: the rate is the value


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is known of a metric, whatever its attributes."""

    unit: str
    kind: Kind
    resolution: float  # what a reading is rounded to on the wire, in `unit` (for counters: in unit per second)
    what: str


def _gauge(unit: str, resolution: float, what: str) -> Metric:
    return Metric(unit=unit, kind=Kind.GAUGE, resolution=resolution, what=what)


def _counter(unit: str, resolution: float, what: str) -> Metric:
    return Metric(unit=unit, kind=Kind.COUNTER, resolution=resolution, what=what)


METRICS: dict[str, Metric] = {
    "system.cpu.utilization": _gauge("1", 0.001, "share of all cores' time by cpu.mode since the last sample"),
    "system.cpu.load_average.1m": _gauge("{thread}", 0.01, "runnable and uninterruptible threads, mean of 1 min"),
    "system.cpu.load_average.5m": _gauge("{thread}", 0.01, "the same, mean of 5 min"),
    "system.cpu.load_average.15m": _gauge("{thread}", 0.01, "the same, mean of 15 min"),
    "system.cpu.frequency": _gauge(
        "Hz", 1e6, "a core's clock as the kernel asked for it; firmware may slow it further"
    ),
    "system.memory.usage": _gauge("By", 4096, "memory by system.memory.state"),
    "system.memory.limit": _gauge("By", 4096, "memory of the machine"),
    "system.linux.memory.available": _gauge("By", 4096, "memory that new programs can have without paging"),
    "system.paging.usage": _gauge("By", 4096, "swap space by system.paging.state"),
    "system.paging.operations": _counter("{operation}", 0.1, "pages moved by system.paging.direction"),
    "system.paging.faults": _counter("{fault}", 0.1, "page faults by system.paging.fault.type"),
    "system.filesystem.usage": _gauge("By", 4096, "bytes of a real file system by system.filesystem.state"),
    "system.filesystem.inodes.usage": _gauge("{inode}", 1, "inodes of a real file system by system.filesystem.state"),
    "system.filesystem.read_only": _gauge(
        "1", 1, "1 while a file system refuses writes although it was mounted for them"
    ),
    "system.disk.io": _counter("By", 1, "bytes moved by disk.io.direction"),
    "system.disk.operations": _counter("{operation}", 0.1, "transfers by disk.io.direction"),
    "system.disk.io_time": _counter("s", 0.001, "time with at least one transfer under way"),
    "system.network.io": _counter("By", 1, "bytes by network.io.direction"),
    "system.network.packet.count": _counter("{packet}", 0.1, "packets by network.io.direction"),
    "system.network.errors": _counter("{error}", 0.01, "packets that failed by network.io.direction"),
    "system.network.packet.dropped": _counter("{packet}", 0.01, "packets thrown away by network.io.direction"),
    "hw.temperature": _gauge("Cel", 0.1, "a sensor's temperature"),
    "hw.temperature.limit": _gauge("Cel", 0.1, "a sensor's limit by hw.limit_type"),
    "hw.fan.speed": _gauge("rpm", 1, "a fan's speed"),
    "hw.status": _gauge("1", 1, "1 while a part of hw.type is in hw.state: what the hardware says of itself"),
    "hw.errors": _gauge("{error}", 1, "errors a file system has counted since it was last checked"),
    "hw.physical_disk.endurance_utilization": _gauge("1", 0.1, "share of flash endurance by hw.physical_disk.state"),
    "hw.battery.charge": _gauge("1", 0.01, "what is in a battery, as a share of what it holds"),
    "forewarn.battery.capacity.utilization": _gauge(
        "1", 0.01, "what a battery holds when full, as a share of its design"
    ),
    "forewarn.cpu.throttled": _gauge(
        "1", 1, "1 while Raspberry Pi firmware slows the cores, by forewarn.cause: heat, soft_limit, voltage"
    ),
    "forewarn.wifi.signal": _gauge("dBm", 1, "how strong a wireless adapter hears its access point"),
    "forewarn.machine.flow": _gauge("L/min", 0.01, "flow through a machine beside the device"),
    "forewarn.machine.pressure": _gauge("bar", 0.001, "pressure at a machine beside the device"),
    "forewarn.machine.current": _gauge("A", 0.001, "current of a machine beside the device"),
    "forewarn.machine.voltage": _gauge("V", 0.1, "voltage of a machine beside the device"),
    "forewarn.machine.power": _gauge("W", 0.1, "power of a machine beside the device"),
    "forewarn.machine.vibration": _gauge("mm/s", 0.001, "vibration of a machine beside the device"),
    "systemd.unit.state": _gauge("1", 1, "1 while a unit that has failed before is in systemd.unit.active_state"),
    "systemd.service.restarts": _counter("{restart}", 0.001, "restarts of a service by systemd itself"),
    "forewarn.systemd.crashed": _gauge("1", 1, "1 if restarts of a service are known to have followed failures"),
    "forewarn.systemd.failed_units": _gauge("{unit}", 1, "units that are failed, of those watched"),
    "system.process.count": _gauge("{process}", 1, "processes"),
    "system.process.created": _counter("{process}", 0.1, "processes started since boot"),
    "forewarn.file_descriptor.usage": _gauge("{fd}", 1, "open files of the whole system"),
    "forewarn.file_descriptor.limit": _gauge("{fd}", 1, "open files the kernel allows in all"),
    "forewarn.memory.oom_kills": _counter("{process}", 0.01, "programs the kernel killed because memory ran out"),
    "forewarn.process.file_descriptor.utilization": _gauge(
        "1", 0.001, "open files against the limit of the process nearest to it"
    ),
    "system.uptime": _gauge("s", 1, "time since boot"),
    "forewarn.agent.cpu.utilization": _gauge("1", 0.0001, "share of one core that the agent itself uses"),
    "forewarn.agent.memory.usage": _gauge("By", 4096, "memory the agent itself uses, proportional set size"),
    "forewarn.agent.unreadable": _gauge("{source}", 1, "sources, or parts of one, that can't be read now"),
    "forewarn.agent.written": _counter("By", 1, "bytes the agent caused to be written to storage"),
    "forewarn.agent.expected.malformed": _counter(
        "{message}", 0.001, "messages at the topic `expected` that can't be read and are ignored"
    ),
    "forewarn.agent.sent": _counter("By", 1, "bytes the agent sent to the broker, TLS included, as the kernel counts"),
}


@lru_cache(maxsize=4096)
def series_name(series: str) -> str:
    """Return the metric's name without its attributes."""
    return series.partition("{")[0]


@lru_cache(maxsize=4096)
def series_attributes(series: str) -> dict[str, str]:
    """Return the attributes of a series; a name without attributes has none."""
    inner = series.partition("{")[2].removesuffix("}")
    return dict(pair.split("=", 1) for pair in inner.split(",") if pair)


def series(name: str, **attributes: str) -> str:
    """Write a series: dots in attribute names are given as ``__`` (``disk__io__direction="read"``).

    Commas, equal signs and braces in a value would make the name ambiguous and become ``_``.
    """
    if not attributes:
        return name
    clean = str.maketrans(",={}", "____")
    pairs = sorted((key.replace("__", "."), value.translate(clean)) for key, value in attributes.items())
    return name + "{" + ",".join(f"{key}={value}" for key, value in pairs) + "}"


def metric_of(series: str) -> Metric:
    """Return what is known of a series; a metric of somebody's own collector counts as a plain gauge."""
    return METRICS.get(series_name(series), _UNKNOWN)


def feature_unit(series: str) -> str:
    """Return the unit that a series is judged in: a total's is its rate, and seconds a second are a share."""
    metric = metric_of(series)
    if metric.kind is Kind.GAUGE:
        return metric.unit
    return "1" if metric.unit == "s" else f"{metric.unit}/s"


_UNKNOWN = _gauge("1", 1e-6, "a metric of a collector that is not ours")
