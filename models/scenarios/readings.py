"""Readings: the series that the agent's collectors read on a simulated host, by the names of the host collector.

What flows in: the demand of each resource. What flows out: `{series: array}`; levels are limited by the size of the
resource, and totals count from the last boot.
"""

import numpy as np

from edge_agent.protocol.metrics import series
from models.scenarios.shapes import wander
from models.scenarios.simulation import Simulation, available
from models.scenarios.timeline import Array

OUT_OF_MEMORY = 0.01  # share of the memory: with less available, the kernel kills a program
UNREADABLE = 0.05  # share of devices on which a group of series can't be read, as in a container
_OPTIONAL = ("system.disk.", "system.network.", "system.process.", "hw.temperature")


def free_series(mount: str, metric: str = "system.filesystem.usage") -> str:
    """Return the series of what is free on a file system."""
    return series(metric, system__filesystem__mountpoint=mount, system__filesystem__state="free")


def readings(sim: Simulation) -> dict[str, Array]:
    """Return every series, an array with a value for each sample."""
    written = sim.written.copy()
    for used in sim.disk.values():
        written += np.maximum(0.0, np.diff(used, prepend=used[0])) / np.maximum(1.0, sim.timeline.elapsed_s())
    unreadable = tuple(prefix for prefix in _OPTIONAL if sim.rng.random() < UNREADABLE)
    found = {
        **_processor(sim, written),
        **_memory(sim),
        **_file_systems(sim),
        **_transfers(sim, written),
        **_files_and_processes(sim),
        "system.uptime": sim.timeline.uptime_s,
    }
    return {name: values for name, values in found.items() if not name.startswith(unreadable)}


def _processor(sim: Simulation, written: Array) -> dict[str, Array]:
    waiting = np.clip(sim.waiting + 0.3 * written / sim.host.fast, 0.0, 0.6)
    busy = np.clip(sim.cpu, 0.005, 0.99 - waiting)
    modes = {"user": 0.75 * busy, "system": 0.25 * busy, "iowait": waiting, "idle": 1 - busy - waiting}
    load = sim.host.cores * (busy + waiting) * (1 + 0.1 * np.abs(wander(sim.rng, sim.t_s, 120.0)))
    return {
        **{series("system.cpu.utilization", cpu__mode=mode): share for mode, share in modes.items()},
        "system.cpu.load_average.1m": load,
        "system.cpu.load_average.5m": _mean_of(load, sim.t_s, 300.0),
        "system.cpu.load_average.15m": _mean_of(load, sim.t_s, 900.0),
        series("hw.temperature", hw__name="cpu_thermal/0"): 40 + 30 * _mean_of(busy, sim.t_s, 300.0),
    }


def _mean_of(values: Array, t_s: Array, span_s: float) -> Array:
    """Return the mean of the last `span_s` at each sample."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    begin = np.searchsorted(t_s, t_s - span_s, side="right")
    end = np.arange(1, len(t_s) + 1)
    return np.asarray((sums[end] - sums[begin]) / (end - begin))


def _memory(sim: Simulation) -> dict[str, Array]:
    total = sim.host.memory
    left = np.clip(available(sim.host) - sim.memory, 0.004 * total, total)
    buffers = np.minimum(0.01 * total, 0.1 * left)
    cached = np.clip(sim.cache, 0.0, 0.92 * left)
    kills = np.maximum(0.0, np.diff((left <= OUT_OF_MEMORY * total).astype(np.float64), prepend=0.0))
    states = {"used": total - left, "free": np.maximum(0.02 * left, left - cached - buffers)}
    return {
        **{_state(state): value for state, value in (states | {"cached": cached, "buffers": buffers}).items()},
        "system.memory.limit": np.full(len(left), total),
        "system.linux.memory.available": left,
        "forewarn.memory.oom_kills": _since_boot(kills, sim),
        series("system.paging.faults", system__paging__fault__type="major"): _total(sim, np.full(len(left), 0.05)),
    }


def _state(state: str) -> str:
    return series("system.memory.usage", system__memory__state=state)


def _file_systems(sim: Simulation) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for mount, volume in sim.host.volumes.items():
        for metric, used, size in (
            ("system.filesystem.usage", sim.disk[mount], volume.size),
            ("system.filesystem.inodes.usage", np.round(sim.inodes[mount]), volume.inodes),
        ):
            used = np.clip(used, 0.0, size)
            found[free_series(mount, metric)] = size - used
            found[free_series(mount, metric).replace("state=free", "state=used")] = used
        found[series("system.filesystem.read_only", system__filesystem__mountpoint=mount)] = np.zeros(len(sim.t_s))
    return found


def _transfers(sim: Simulation, written: Array) -> dict[str, Array]:
    found = {}
    for direction, rate in (("read", sim.read), ("write", written)):
        attributes = {"disk__io__direction": direction, "system__device": "mmcblk0"}
        found[series("system.disk.io", **attributes)] = _total(sim, rate)
        found[series("system.disk.operations", **attributes)] = _total(sim, rate / 32_768)
    busy = np.clip((written + sim.read) / sim.host.fast, 0.0, 1.0)
    found[series("system.disk.io_time", system__device="mmcblk0")] = _total(sim, busy)
    for direction, rate in (("receive", sim.received), ("transmit", sim.sent + 0.02 * sim.received)):
        attributes = {"network__interface__name": "eth0", "network__io__direction": direction}
        found[series("system.network.io", **attributes)] = _total(sim, rate)
        found[series("system.network.packet.count", **attributes)] = _total(sim, rate / 900)
        found[series("system.network.errors", **attributes)] = _total(sim, 0 * rate)
        found[series("system.network.packet.dropped", **attributes)] = _total(sim, 0 * rate)
    return found


def _files_and_processes(sim: Simulation) -> dict[str, Array]:
    limit = sim.host.file_limit
    return {
        "forewarn.file_descriptor.usage": np.clip(np.round(sim.files), 0.0, limit),
        "forewarn.file_descriptor.limit": np.full(len(sim.t_s), limit),
        "forewarn.process.file_descriptor.utilization": np.round(np.clip(sim.process_files, 0.0, 1.0), 4),
        "system.process.count": np.round(sim.processes),
        "system.process.created": _total(sim, np.maximum(0.0, sim.created)),
    }


def _total(sim: Simulation, rate: Array) -> Array:
    """Return the total of a rate since boot."""
    return _since_boot(np.maximum(0.0, rate) * sim.timeline.elapsed_s(), sim)


def _since_boot(added: Array, sim: Simulation) -> Array:
    total, boot = np.cumsum(added), sim.timeline.boot
    first = np.searchsorted(boot, boot, side="left")
    return np.asarray(total - np.where(first > 0, total[first - 1], 0.0))
