"""Named quantities of a whole host: sums over the series of a row, whatever its disks and sensors are called.

What flows in: `{series: value}`, a row of features. What flows out: an array of the QUANTITIES, NaN if a device lacks
one. Sums are over disks and modes of the processor; the warmest of the processor's sensors is used. Volumes on other
disks (dm, md), which count the same bytes again, and loop and RAM disks are excluded.
"""

from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache

import numpy as np

from edge_agent.detection.rules.thermal import BELIEVABLE_CEL
from edge_agent.detection.trends.multiscale_window import Array
from edge_agent.protocol.metrics import series_attributes, series_name


class Quantity(IntEnum):
    """Places in the array. Rates are per second."""

    CPU = 0  # busy share of the time of all cores
    IOWAIT = 1  # share of time that was idle while a process waited for a disk
    LOAD = 2  # mean over one minute, threads
    STARTED = 3  # processes started
    READ = 4  # bytes from disks
    WRITTEN = 5  # bytes to disks
    READS = 6  # operations
    WRITES = 7
    BUSY = 8  # seconds in a second that disks were busy
    HEAT = 9  # Cel, of the processor's warmest sensor


_PLAIN = {
    "system.cpu.load_average.1m": Quantity.LOAD,
    "system.process.created": Quantity.STARTED,
    "system.disk.io_time": Quantity.BUSY,
}
_NO_DISKS = ("dm-", "md", "loop", "ram", "zram")
_OF_A_PROCESSOR = (
    "cpu", "coretemp", "k10temp", "k8temp", "zenpower", "via_cputemp", "x86_pkg_temp", "bcm2835_thermal",
    "soc_thermal", "soc-thermal", "bigcore", "littlecore",
)  # fmt: skip
"""Prefixes of sensor names: the driver, or the kind of thermal zone (kernel drivers/hwmon, device trees)."""
_BY_DIRECTION = {
    ("system.disk.io", "read"): Quantity.READ,
    ("system.disk.io", "write"): Quantity.WRITTEN,
    ("system.disk.operations", "read"): Quantity.READS,
    ("system.disk.operations", "write"): Quantity.WRITES,
}


def quantities(row: Mapping[str, float]) -> Array:
    """Sum up a row: (len(Quantity),) in physical units, NaN without a series."""
    parts: list[list[float]] = [[] for _ in Quantity]
    for series, value in row.items():
        place = quantity_of(series)
        if place is not None and (place is not Quantity.HEAT or BELIEVABLE_CEL[0] <= value <= BELIEVABLE_CEL[1]):
            parts[place].append(value)
    parts[Quantity.HEAT] = [max(parts[Quantity.HEAT])] if parts[Quantity.HEAT] else []
    # sorted: the order of series must not change a rounding
    return np.array([sum(sorted(part)) if part else np.nan for part in parts])


def parts_of(row: Mapping[str, float], place: Quantity) -> list[str]:
    """Return the series of a row that make up a quantity, by name."""
    return sorted(series for series in row if quantity_of(series) is place)


@lru_cache(maxsize=4096)
def quantity_of(series: str) -> Quantity | None:
    """Return the quantity that a series is part of."""
    name, attributes = series_name(series), series_attributes(series)
    if name == "system.cpu.utilization":
        mode = attributes.get("cpu.mode", "idle")
        return Quantity.IOWAIT if mode == "iowait" else None if mode == "idle" else Quantity.CPU
    if name == "hw.temperature":
        return Quantity.HEAT if attributes.get("hw.name", "").lower().startswith(_OF_A_PROCESSOR) else None
    if attributes.get("system.device", "").startswith(_NO_DISKS):
        return None
    return _PLAIN.get(name, _BY_DIRECTION.get((name, attributes.get("disk.io.direction", ""))))
