"""Named quantities of a whole host: what a row of series adds up to, whatever its disks and interfaces are called.

What flows in: `{series: value}`, a row of features. What flows out: an array of the QUANTITIES, NaN where a device
lacks one. Sums go over devices and interfaces; of sensors and fans the highest counts.
"""

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache

import numpy as np

from edge_agent.detection.windows import Array
from edge_agent.protocol.metrics import series_attributes, series_name


class Quantity(IntEnum):
    """Places in the array. Rates are per second."""

    CPU = 0  # share of all cores' time that was worked, whoever for
    SYSTEM = 1  # the kernel's part of it, interrupts among it
    IOWAIT = 2  # share of idle time in which something waited for a disk
    LOAD = 3  # mean of one minute, threads
    MEMORY = 4  # share of memory that new programs can't have
    FAULTS = 5  # major page faults
    STARTED = 6  # processes started
    PROCESSES = 7
    FILES = 8  # open files of the whole system
    READ = 9  # bytes from disks
    WRITTEN = 10  # bytes to disks
    READS = 11  # operations
    WRITES = 12
    BUSY = 13  # seconds in a second that disks were busy
    RECEIVED = 14  # bytes
    SENT = 15
    PACKETS_IN = 16
    PACKETS_OUT = 17
    LOST = 18  # packets with errors, and thrown away
    HEAT = 19  # Cel, of the warmest sensor
    FAN = 20  # rpm, of the fastest


_IDLE = frozenset({"idle", "iowait"})
_PLAIN = {
    "system.cpu.load_average.1m": Quantity.LOAD,
    "system.process.created": Quantity.STARTED,
    "system.process.count": Quantity.PROCESSES,
    "forewarn.file_descriptor.usage": Quantity.FILES,
    "system.disk.io_time": Quantity.BUSY,
    "system.network.errors": Quantity.LOST,
    "system.network.packet.dropped": Quantity.LOST,
    "hw.temperature": Quantity.HEAT,
    "hw.fan.speed": Quantity.FAN,
}
_BY_DIRECTION = {
    ("system.disk.io", "read"): Quantity.READ,
    ("system.disk.io", "write"): Quantity.WRITTEN,
    ("system.disk.operations", "read"): Quantity.READS,
    ("system.disk.operations", "write"): Quantity.WRITES,
    ("system.network.io", "receive"): Quantity.RECEIVED,
    ("system.network.io", "transmit"): Quantity.SENT,
    ("system.network.packet.count", "receive"): Quantity.PACKETS_IN,
    ("system.network.packet.count", "transmit"): Quantity.PACKETS_OUT,
}
_HIGHEST = frozenset({Quantity.HEAT, Quantity.FAN})


def quantities(row: Mapping[str, float]) -> Array:
    """Add up a row: (len(Quantity),) in physical units, NaN for what no series says."""
    found: list[float | None] = [None] * len(Quantity)
    for series, value in row.items():
        for place in _places(series):
            before = found[place]
            if before is None:
                found[place] = value
            else:
                found[place] = max(before, value) if place in _HIGHEST else before + value
    available, limit = row.get("system.linux.memory.available"), row.get("system.memory.limit")
    if available is not None and limit:
        found[Quantity.MEMORY] = 1.0 - available / limit
    return np.array(found, np.float64)  # None becomes NaN


@lru_cache(maxsize=4096)
def _places(series: str) -> tuple[Quantity, ...]:
    """Return the quantities that a series is part of."""
    name, attributes = series_name(series), series_attributes(series)
    if name == "system.cpu.utilization":
        return _of_mode(attributes.get("cpu.mode", "idle"))
    if name == "system.paging.faults":
        return (Quantity.FAULTS,) if attributes.get("system.paging.fault.type") == "major" else ()
    direction = attributes.get("disk.io.direction") or attributes.get("network.io.direction") or ""
    plain = _PLAIN.get(name, _BY_DIRECTION.get((name, direction)))
    return () if plain is None else (plain,)


def _of_mode(mode: str) -> tuple[Quantity, ...]:
    if mode == "iowait":
        return (Quantity.IOWAIT,)
    if mode in ("system", "interrupt"):
        return (Quantity.CPU, Quantity.SYSTEM)
    return () if mode == "idle" else (Quantity.CPU,)
