"""The machine port of the host collector, and its implementation with psutil and /proc.

The virtual device implements the same port, and passes the same contract tests.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import psutil

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "fuse.sshfs", "afs"})
_IMAGE_FILE_SYSTEMS = frozenset({"squashfs", "iso9660", "erofs", "cramfs", "udf"})
_KERNEL_FOLDERS = ("/proc", "/sys", "/dev/")
_OCTAL = re.compile(r"\\([0-7]{3})")  # the kernel's escape of blanks and backslashes in a mount point
_EXCLUDED_NICS = ("lo", "veth", "docker", "br-", "ifb")  # loopback, and interfaces of containers
_KERNEL_COUNTERS = ("pgmajfault", "pswpin", "pswpout", "oom_kill", "processes")
_Labelled: TypeAlias = Any  # psutil's sensors: named tuples with a label
_MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system that can fill up; `refuses_writes` if it was mounted read-write and is read-only now."""

    mountpoint: str
    device: str
    refuses_writes: bool


@dataclass(frozen=True, slots=True)
class Space:
    """Bytes and inodes of a file system; `free` is available to unprivileged programs."""

    used: float
    free: float
    reserved: float
    inodes_used: float
    inodes_free: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of the machine's memory and swap."""

    total: float
    available: float
    used: float
    free: float
    cached: float
    buffers: float
    swap_used: float
    swap_free: float


@dataclass(frozen=True, slots=True)
class Disk:
    """A block device's totals since boot."""

    read_bytes: float
    write_bytes: float
    reads: float
    writes: float
    busy_s: float


@dataclass(frozen=True, slots=True)
class Nic:
    """A network interface's totals since boot."""

    received_bytes: float
    sent_bytes: float
    received_packets: float
    sent_packets: float
    receive_errors: float
    send_errors: float
    receive_drops: float
    send_drops: float


@dataclass(frozen=True, slots=True)
class Temperature:
    """A sensor in degrees Celsius, with the limit its driver states, if any."""

    celsius: float
    high: float | None


class Machine(Protocol):
    """The readings of a machine. An empty mapping or None means that the machine lacks the source."""

    def cpu_times(self) -> Mapping[str, float]:
        """Seconds of all cores together by OpenTelemetry's cpu.mode, since boot."""
        ...

    def load_average(self) -> tuple[float, float, float]:
        """Load of 1, 5 and 15 minutes."""
        ...

    def memory(self) -> Memory:
        """Memory and swap."""
        ...

    def kernel_counters(self) -> Mapping[str, float]:
        """Totals since boot: pgmajfault, pswpin, pswpout, oom_kill, and processes (started)."""
        ...

    def mounts(self) -> tuple[Mount, ...]:
        """Real file systems, each once, with its shortest mount point."""
        ...

    def space(self, mountpoint: str) -> Space:
        """Space on a file system."""
        ...

    def disks(self) -> Mapping[str, Disk]:
        """Whole block devices, by name."""
        ...

    def nics(self) -> Mapping[str, Nic]:
        """Network interfaces but loopback, by name."""
        ...

    def temperatures(self) -> Mapping[str, Temperature]:
        """Sensors, by a stable name."""
        ...

    def fans(self) -> Mapping[str, float]:
        """Fans in revolutions per minute, by a stable name."""
        ...

    def processes(self) -> float:
        """Number of processes now."""
        ...

    def open_files(self) -> tuple[float, float | None] | None:
        """Open files of the whole system, and the kernel's limit if it has one."""
        ...

    def fullest_process(self) -> float | None:
        """Highest share of the open-file limit among the readable processes; 0..1."""
        ...


class LinuxMachine:
    """This machine, read through psutil and /proc."""

    def __init__(self, exclude_mounts: tuple[str, ...] = (), proc: Path = Path("/proc")) -> None:
        """`proc` is the mount point of procfs; etc/fstab is read from its parent."""
        self._proc = proc
        self._exclude = frozenset(exclude_mounts)
        self._written: set[str] = set()  # mount points that were writable: if one is read-only later, that is a fault

    def cpu_times(self) -> Mapping[str, float]:
        """Seconds by mode; softirq counts as interrupt, user time includes guest time (proc(5))."""
        times = psutil.cpu_times()
        modes = {mode: getattr(times, mode) for mode in ("user", "nice", "system", "idle")}
        modes["iowait"] = getattr(times, "iowait", 0.0)
        modes["interrupt"] = getattr(times, "irq", 0.0) + getattr(times, "softirq", 0.0)
        modes["steal"] = getattr(times, "steal", 0.0)
        return modes

    def load_average(self) -> tuple[float, float, float]:
        """Load of 1, 5 and 15 minutes."""
        return os.getloadavg()

    def memory(self) -> Memory:
        """Memory and swap, from /proc/meminfo."""
        ram = psutil.virtual_memory()
        info = _pairs(self._proc / "meminfo")  # psutil.swap_memory() would read /proc/vmstat as well
        swap_total, swap_free = info.get("SwapTotal:", 0.0) * 1024, info.get("SwapFree:", 0.0) * 1024
        return Memory(
            total=ram.total,
            available=ram.available,
            used=ram.used,
            free=ram.free,
            cached=ram.cached,
            buffers=ram.buffers,
            swap_used=swap_total - swap_free,
            swap_free=swap_free,
        )

    def kernel_counters(self) -> Mapping[str, float]:
        """Totals since boot, from /proc/vmstat and /proc/stat."""
        counters = _pairs(self._proc / "vmstat")
        for line in _lines(self._proc / "stat"):
            if line.startswith("processes "):
                counters["processes"] = float(line.split()[1])
        return {name: counters[name] for name in _KERNEL_COUNTERS if name in counters}

    def mounts(self) -> tuple[Mount, ...]:
        """Read mountinfo (proc(5)); image, kernel and network file systems are excluded."""
        should_write = self._written | _writable_by_fstab(self._proc.parent / "etc/fstab")
        shortest: dict[str, Mount] = {}
        root_is_listed = False
        for line in _lines(self._proc / "self/mountinfo"):
            place, _, rest = line.partition(" - ")
            fields, (kind, device, super_options) = place.split(" "), rest.split(" ", 2)
            number, mountpoint = fields[2], _OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[4])
            root_is_listed |= mountpoint == "/"
            if not self._is_real(kind, device, mountpoint):
                continue
            # Only the options of the superblock: the sandbox of a service manager makes mounts read-only.
            readonly = bool({*super_options.split(",")} & {"ro", "emergency_ro", "shutdown"})
            if readonly and mountpoint not in should_write:
                continue
            if not readonly:
                self._written.add(mountpoint)
            known = shortest.get(number)
            if known is None or len(mountpoint) < len(known.mountpoint):
                shortest[number] = Mount(mountpoint, device, readonly)
        if not root_is_listed:
            shortest |= self._unlisted_root()
        return tuple(shortest.values())

    def _unlisted_root(self) -> dict[str, Mount]:
        """Return the file system of `/` by its number; in a chroot mountinfo does not list it.

        statvfs(3) does not separate a read-only superblock, a fault, from a read-only mount, which a sandbox makes.
        A root that was writable and no longer is, is a fault; one that never was is excluded.
        """
        root = self._proc.parent
        number = root.stat().st_dev
        readonly = bool(os.statvfs(root).f_flag & os.ST_RDONLY)
        if "/" in self._exclude or (readonly and "/" not in self._written):
            return {}
        if not readonly:
            self._written.add("/")
        name = f"{os.major(number)}:{os.minor(number)}"
        return {name: Mount("/", name, readonly)}

    def _is_real(self, kind: str, device: str, mountpoint: str) -> bool:
        if mountpoint in self._exclude or kind in _IMAGE_FILE_SYSTEMS or kind in NETWORK_FILE_SYSTEMS:
            return False
        if mountpoint.startswith(_KERNEL_FOLDERS) and mountpoint != "/dev/shm":  # noqa: S108  a mount, not a file
            return False
        return device.startswith("/dev/") or kind in _MEMORY_FILE_SYSTEMS or mountpoint == "/"

    def space(self, mountpoint: str) -> Space:
        """Space on a file system, from statvfs(3)."""
        stat = os.statvfs(mountpoint)
        return Space(
            used=(stat.f_blocks - stat.f_bfree) * stat.f_frsize,
            free=stat.f_bavail * stat.f_frsize,
            reserved=(stat.f_bfree - stat.f_bavail) * stat.f_frsize,
            inodes_used=stat.f_files - stat.f_ffree,
            inodes_free=stat.f_favail,
        )

    def disks(self) -> Mapping[str, Disk]:
        """Whole devices; partitions, loop and RAM disks are excluded: another device has their transfers."""
        return {
            name: Disk(io.read_bytes, io.write_bytes, io.read_count, io.write_count, io.busy_time / 1000)
            for name, io in psutil.disk_io_counters(perdisk=True).items()
            if not name.startswith(("loop", "ram", "zram")) and Path("/sys/block", name).exists()
        }

    def nics(self) -> Mapping[str, Nic]:
        """Interfaces with their totals; loopback and those of containers are excluded."""
        return {
            name: Nic(
                io.bytes_recv,
                io.bytes_sent,
                io.packets_recv,
                io.packets_sent,
                io.errin,
                io.errout,
                io.dropin,
                io.dropout,
            )
            for name, io in psutil.net_io_counters(pernic=True).items()
            if not name.startswith(_EXCLUDED_NICS)
        }

    def temperatures(self) -> Mapping[str, Temperature]:
        """Sensors by driver and label, or driver and number where there is no label."""
        return {
            name: Temperature(sensor.current, sensor.high) for name, sensor in _named(psutil.sensors_temperatures())
        }

    def fans(self) -> Mapping[str, float]:
        """Fans by driver and label, or driver and number."""
        return {name: float(fan.current) for name, fan in _named(psutil.sensors_fans())}

    def processes(self) -> float:
        """Count the folders of /proc."""
        return float(len(psutil.pids()))

    def open_files(self) -> tuple[float, float | None] | None:
        """Read /proc/sys/fs/file-nr: allocated, unused, maximum; newer kernels write 2^63-1 for no limit."""
        allocated, unused, limit = (float(word) for word in (self._proc / "sys/fs/file-nr").read_text().split())
        return allocated - unused, limit if limit < 2**62 else None

    def fullest_process(self) -> float | None:
        """Compare the open files of each readable process with its soft limit; those of other users are unreadable."""
        fullest = None
        for pid in psutil.pids():
            try:
                count = len(os.listdir(self._proc / f"{pid}/fd"))  # noqa: PTH208  three times as fast as iterdir, for every process
                limit = _soft_open_files_limit(self._proc / f"{pid}/limits")
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue  # ended, or no permission
            if limit:
                fullest = max(fullest or 0.0, count / limit)
        return fullest


def _named(found: Mapping[str, Sequence[_Labelled]]) -> Iterator[tuple[str, _Labelled]]:
    """Name sensors by driver and label; add a number if labels are equal."""
    for driver, sensors in found.items():
        labels = [sensor.label for sensor in sensors]
        for number, sensor in enumerate(sensors):
            unique = sensor.label and labels.count(sensor.label) == 1
            yield f"{driver}/{sensor.label if unique else ' '.join(filter(None, (sensor.label, str(number))))}", sensor


def _soft_open_files_limit(limits: Path) -> float | None:
    for line in _lines(limits):
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return None if soft == "unlimited" else float(soft)
    return None


def _writable_by_fstab(fstab: Path) -> set[str]:
    """Return the mount points that fstab asks to be writable; containers and some images have no such file."""
    try:
        rows = [line.split() for line in _lines(fstab) if line.strip() and not line.lstrip().startswith("#")]
    except OSError:
        return set()
    return {row[1] for row in rows if len(row) >= 4 and "ro" not in row[3].split(",")}


def _pairs(path: Path) -> dict[str, float]:
    return {words[0]: float(words[1]) for words in map(str.split, _lines(path))}


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="surrogateescape").split("\n")[:-1]  # a mount point may contain any other byte
