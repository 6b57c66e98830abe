"""Host collector: CPU, load, memory, paging, file systems, disks, network, temperatures, fans, processes, files.

What flows in: a `Machine`. What flows out: `{series: value}` under OpenTelemetry's names, in UCUM units.
"""

from collections.abc import Iterator, Mapping

from edge_agent.collectors.collection import PartlyRead, Reading, read_parts
from edge_agent.collectors.machine import Machine
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series

_SLOW_EVERY_S = 10.0  # slow or expensive readings: mounts, sensors, open files of processes


class HostCollector:
    """Reads a machine at every sample, its slow parts every ten seconds. A failing part does not affect the others."""

    name = "host"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._slow: dict[str, float] = {}
        self._slow_reasons: dict[str, str] = {}
        self._slow_at = float("-inf")
        self._cpu_before: Mapping[str, float] | None = None
        self._mountpoints: tuple[str, ...] = ()

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Read the machine once. Raises PartlyRead."""
        if now.uptime_s - self._slow_at >= _SLOW_EVERY_S:
            self._slow_at = now.uptime_s
            self._slow, self._slow_reasons = read_parts(
                {
                    "mounts": self._mounts,
                    "temperatures": self._temperatures,
                    "fans": self._fans,
                    "processes": self._processes,
                    "fullest_process": self._fullest_process,
                }
            )
        values, reasons = read_parts(
            {
                "load": self._load,
                "cpu": self._cpu,
                "memory": self._memory,
                "kernel_counters": self._kernel_counters,
                "open_files": self._open_files,
                "file_systems": self._file_systems,
                "disks": self._disks,
                "network": self._network,
            }
        )
        values = {**self._slow, **values, "system.uptime": now.uptime_s}
        if reasons := self._slow_reasons | reasons:
            raise PartlyRead(values, reasons)
        return values

    def _mounts(self) -> Iterator[Reading]:
        mounts = self._machine.mounts()
        self._mountpoints = tuple(mount.mountpoint for mount in mounts)
        for mount in mounts:
            yield _mounted("system.filesystem.read_only", mount.mountpoint), float(mount.refuses_writes)

    def _temperatures(self) -> Iterator[Reading]:
        for sensor, reading in self._machine.temperatures().items():
            yield series("hw.temperature", hw__name=sensor), reading.celsius
            if reading.high is not None:
                yield series("hw.temperature.limit", hw__limit_type="high", hw__name=sensor), reading.high

    def _fans(self) -> Iterator[Reading]:
        for fan, rpm in self._machine.fans().items():
            yield series("hw.fan.speed", hw__name=fan), rpm

    def _processes(self) -> Iterator[Reading]:
        yield "system.process.count", self._machine.processes()

    def _fullest_process(self) -> Iterator[Reading]:
        if (fullest := self._machine.fullest_process()) is not None:
            yield "forewarn.process.file_descriptor.utilization", fullest

    def _load(self) -> Iterator[Reading]:
        for minutes, load in zip((1, 5, 15), self._machine.load_average(), strict=True):
            yield f"system.cpu.load_average.{minutes}m", load

    def _cpu(self) -> Iterator[Reading]:
        times = self._machine.cpu_times()
        before, self._cpu_before = self._cpu_before, times
        if before is None:
            return
        spent = {mode: max(0.0, seconds - before[mode]) for mode, seconds in times.items()}
        if total := sum(spent.values()):
            for mode, seconds in spent.items():
                yield series("system.cpu.utilization", cpu__mode=mode), seconds / total

    def _memory(self) -> Iterator[Reading]:
        memory = self._machine.memory()
        for state in ("used", "free", "cached", "buffers"):
            yield series("system.memory.usage", system__memory__state=state), getattr(memory, state)
        yield "system.memory.limit", memory.total
        yield "system.linux.memory.available", memory.available
        if memory.swap_used + memory.swap_free:
            yield series("system.paging.usage", system__paging__state="used"), memory.swap_used
            yield series("system.paging.usage", system__paging__state="free"), memory.swap_free

    def _kernel_counters(self) -> Iterator[Reading]:
        counters = self._machine.kernel_counters()
        for counter, name in _KERNEL.items():
            if counter in counters:
                yield name, counters[counter]

    def _open_files(self) -> Iterator[Reading]:
        if (files := self._machine.open_files()) is not None:
            yield "forewarn.file_descriptor.usage", files[0]
            if files[1] is not None:
                yield "forewarn.file_descriptor.limit", files[1]

    def _file_systems(self) -> Iterator[Reading]:
        for mountpoint in self._mountpoints:
            try:
                space = self._machine.space(mountpoint)
            except OSError:
                continue  # unmounted since the mounts were read, or no permission
            for state in ("used", "free", "reserved"):
                yield _mounted("system.filesystem.usage", mountpoint, state), getattr(space, state)
            if space.inodes_used + space.inodes_free:  # btrfs and vfat have none
                yield _mounted("system.filesystem.inodes.usage", mountpoint, "used"), space.inodes_used
                yield _mounted("system.filesystem.inodes.usage", mountpoint, "free"), space.inodes_free

    def _disks(self) -> Iterator[Reading]:
        for name, disk in self._machine.disks().items():
            yield series("system.disk.io", disk__io__direction="read", system__device=name), disk.read_bytes
            yield series("system.disk.io", disk__io__direction="write", system__device=name), disk.write_bytes
            yield (
                series("system.disk.operations", disk__io__direction="read", system__device=name),
                disk.reads,
            )
            yield (
                series("system.disk.operations", disk__io__direction="write", system__device=name),
                disk.writes,
            )
            yield series("system.disk.io_time", system__device=name), disk.busy_s

    def _network(self) -> Iterator[Reading]:
        for name, nic in self._machine.nics().items():
            for metric, (received, sent) in {
                "system.network.io": (nic.received_bytes, nic.sent_bytes),
                "system.network.packet.count": (nic.received_packets, nic.sent_packets),
                "system.network.errors": (nic.receive_errors, nic.send_errors),
                "system.network.packet.dropped": (nic.receive_drops, nic.send_drops),
            }.items():
                yield _interface(metric, name, "receive"), received
                yield _interface(metric, name, "transmit"), sent


_KERNEL = {
    "processes": "system.process.created",
    "pgmajfault": series("system.paging.faults", system__paging__fault__type="major"),
    "pswpin": series("system.paging.operations", system__paging__direction="in"),
    "pswpout": series("system.paging.operations", system__paging__direction="out"),
    "oom_kill": "forewarn.memory.oom_kills",
}


def _mounted(metric: str, mountpoint: str, state: str | None = None) -> str:
    mountpoint = mountpoint.encode(errors="surrogateescape").decode(errors="replace")  # JSON needs valid Unicode
    if state is None:
        return series(metric, system__filesystem__mountpoint=mountpoint)
    return series(metric, system__filesystem__mountpoint=mountpoint, system__filesystem__state=state)


def _interface(metric: str, name: str, direction: str) -> str:
    return series(metric, network__interface__name=name, network__io__direction=direction)
