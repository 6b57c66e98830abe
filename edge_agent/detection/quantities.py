"""Named quantities of a whole host: what a row of series adds up to, whatever its disks and sensors are called.

What flows in: `{series: value}`, a row of features. What flows out: an array of the QUANTITIES, NaN where a device
lacks one. Sums go over disks and modes of the processor; of sensors the warmest counts.
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
    IOWAIT = 1  # share of idle time in which something waited for a disk
    LOAD = 2  # mean of one minute, threads
    STARTED = 3  # processes started
    READ = 4  # bytes from disks
    WRITTEN = 5  # bytes to disks
    READS = 6  # operations
    WRITES = 7
    BUSY = 8  # seconds in a second that disks were busy
    HEAT = 9  # Cel, of the warmest sensor


_PLAIN = {
    "system.cpu.load_average.1m": Quantity.LOAD,
    "system.process.created": Quantity.STARTED,
    "system.disk.io_time": Quantity.BUSY,
    "hw.temperature": Quantity.HEAT,
}
_BY_DIRECTION = {
    ("system.disk.io", "read"): Quantity.READ,
    ("system.disk.io", "write"): Quantity.WRITTEN,
    ("system.disk.operations", "read"): Quantity.READS,
    ("system.disk.operations", "write"): Quantity.WRITES,
}


def quantities(row: Mapping[str, float]) -> Array:
    """Add up a row: (len(Quantity),) in physical units, NaN for what no series says."""
    found: list[float | None] = [None] * len(Quantity)
    for series, value in row.items():
        place = quantity_of(series)
        if place is None:
            continue
        before = found[place]
        if before is None:
            found[place] = value
        else:
            found[place] = max(before, value) if place is Quantity.HEAT else before + value
    return np.array(found, np.float64)  # None becomes NaN


@lru_cache(maxsize=4096)
def quantity_of(series: str) -> Quantity | None:
    """Return the quantity that a series is part of."""
    name, attributes = series_name(series), series_attributes(series)
    if name == "system.cpu.utilization":
        mode = attributes.get("cpu.mode", "idle")
        return Quantity.IOWAIT if mode == "iowait" else None if mode == "idle" else Quantity.CPU
    return _PLAIN.get(name, _BY_DIRECTION.get((name, attributes.get("disk.io.direction", ""))))
