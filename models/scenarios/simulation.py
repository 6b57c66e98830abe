"""A simulated host: what its activities use of each resource, as arrays over the samples of a timeline.

What flows in: activities (a download, a job, a leak), each added to the resources that it touches. What flows out: the
demand of every resource; `models.scenarios.readings` turns it into the series that the collectors read.
"""

from dataclasses import dataclass

import numpy as np

from models.scenarios.shapes import during, ramp, rough, wander
from models.scenarios.timeline import DAY_S, Array, Timeline

MIB = float(1 << 20)
GIB = float(1 << 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One file system: its size, what is on it before anything happens, and its inodes."""

    size: float
    used: float
    inodes: float
    inodes_used: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Sizes of a device. `volumes` by mount point; `fast` is what its disk writes in a second."""

    memory: float
    programs: float
    cores: int
    volumes: dict[str, Volume]
    file_limit: float
    files: float
    process_files: float  # open files of the process nearest its limit, as a share of the limit
    fast: float


def random_host(rng: np.random.Generator) -> Host:
    """Draw a device: 1 to 8 GiB of memory, a card of 8 to 64 GiB, on half of them a second file system."""
    memory = float(rng.choice([1, 2, 4, 8])) * GIB
    volumes = {"/": _volume(rng, float(rng.choice([8, 16, 32, 64])) * GIB, 0.25, 0.6)}
    if rng.random() < 0.5:
        volumes["/var/data"] = _volume(rng, float(rng.choice([16, 64, 128, 256])) * GIB, 0.05, 0.6)
    return Host(
        memory=memory,
        programs=memory * rng.uniform(0.2, 0.45),
        cores=int(rng.choice([2, 4, 4, 8])),
        volumes=volumes,
        file_limit=float(round(memory / 10240)),
        files=rng.uniform(800, 3000),
        process_files=rng.uniform(0.03, 0.2),
        fast=rng.uniform(15, 120) * MIB,
    )


def _volume(rng: np.random.Generator, size: float, least: float, most: float) -> Volume:
    inodes = round(size / 16384)
    return Volume(
        size=size,
        used=size * rng.uniform(least, most),
        inodes=inodes,
        inodes_used=round(inodes * rng.uniform(0.03, 0.2)),
    )


class Simulation:
    """The demand of each resource over time, in base units; rates are per second.

    `memory` is what programs use, `cache` what the page cache would like to have, `shares` of the CPU count all cores.
    """

    def __init__(self, rng: np.random.Generator, timeline: Timeline, host: Host) -> None:
        self.rng, self.timeline, self.host, self.t_s = rng, timeline, host, timeline.t_s
        self.memory, self.cache = self.constant(host.programs), self.constant(0.0)
        self.disk = {mount: self.constant(volume.used) for mount, volume in host.volumes.items()}
        self.inodes = {mount: self.constant(volume.inodes_used) for mount, volume in host.volumes.items()}
        self.cpu, self.waiting = self.constant(0.0), self.constant(0.0)
        self.written, self.read = self.constant(0.0), self.constant(0.0)
        self.received, self.sent = self.constant(0.0), self.constant(0.0)
        self.processes, self.created = self.constant(0.0), self.constant(0.0)
        self.files, self.process_files = self.constant(host.files), self.constant(host.process_files)
        self.traffic = self._traffic()

    def constant(self, value: float) -> Array:
        """Return an array of one value for each sample."""
        return np.full(len(self.t_s), float(value))

    def _traffic(self) -> Array:
        """Return requests over time, mean about 1: low at night, random from minute to minute."""
        swing, peak_s = self.rng.uniform(0.1, 0.7), self.rng.uniform(10, 18) * 3600
        rhythm = 1 + swing * np.cos(2 * np.pi * (self.timeline.of_day_s() - peak_s) / DAY_S)
        noise = 0.1 * wander(self.rng, self.t_s, 900.0) + 0.05 * self.rng.normal(0.0, 1.0, len(self.t_s))
        return np.asarray(np.maximum(0.05, rhythm * (1 + noise)))

    @property
    def largest(self) -> str:
        """The mount point where data is kept."""
        return max(self.host.volumes, key=lambda mount: self.host.volumes[mount].size)

    def free(self, mount: str, at_s: float) -> float:
        """Return what is free on a file system at a time, in bytes, with what has been added so far."""
        return self.host.volumes[mount].size - float(np.interp(at_s, self.t_s, self.disk[mount]))

    def available(self, at_s: float) -> float:
        """Return the memory that is available at a time, with what has been added so far."""
        return available(self.host) - float(np.interp(at_s, self.t_s, self.memory))

    def spare(self, mount: str) -> float:
        """Return what stays free on a file system at all times, in bytes, with what has been added so far."""
        return self.host.volumes[mount].size - float(self.disk[mount].max())

    def spare_memory(self) -> float:
        """Return the memory that is available at all times, with what has been added so far."""
        return available(self.host) - float(self.memory.max())

    def grow(self, mount: str, begin_s: float, duration_s: float, size: float, roughness: float = 0.3) -> Array:
        """Write `size` bytes to a file system; return what they use of it over time, to be removed later."""
        grown = size * rough(self.rng, ramp(self.t_s, begin_s, duration_s), roughness)
        self.disk[mount] += grown
        return grown

    def remove(self, mount: str, grown: Array, at_s: float, share: float = 1.0) -> None:
        """Remove, from a time on, a share of what `grow` has written."""
        self.disk[mount] -= share * grown * (self.t_s >= at_s)

    def download(self, begin_s: float, duration_s: float, size: float) -> None:
        """Receive bytes from the network."""
        self.received += size * np.diff(ramp(self.t_s, begin_s, duration_s), prepend=0.0) / self._step_s()

    def job(
        self, begin_s: float, duration_s: float, *, cpu: float = 0.1, processes: float = 2.0, memory: float = 0.0
    ) -> None:
        """Run programs for some time."""
        busy = during(self.t_s, begin_s, begin_s + duration_s)
        self.cpu += cpu * busy * (1 + 0.2 * self.rng.normal(0.0, 1.0, len(busy)))
        self.processes += processes * busy
        self.memory += memory * busy
        self.start(begin_s, processes)

    def start(self, at_s: float, processes: float) -> None:
        """Count programs that start at a time."""
        place = int(np.searchsorted(self.t_s, at_s))
        if place < len(self.t_s):
            self.created[place] += processes / self._step_s()[place]

    def _step_s(self) -> Array:
        return np.maximum(1.0, np.diff(self.t_s, prepend=self.t_s[0] - self.timeline.period_s))


def available(host: Host) -> float:
    """Return the memory that programs can have: without the kernel's own, and what it keeps back."""
    return 0.94 * host.memory
