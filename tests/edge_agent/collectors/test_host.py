"""The host collector: the same contract for this machine and for a virtual one; what is missing is absent."""

import math
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from edge_agent.clock import SystemClock
from edge_agent.collectors.collection import UNREADABLE, Collection, Reading, read_parts
from edge_agent.collectors.host import HostCollector
from edge_agent.collectors.machine import LinuxMachine, Machine, Temperature
from edge_agent.collectors.self_usage import SelfUsageCollector
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import METRICS, Kind, metric_of, series_name
from edge_agent.sample import Sample
from firmware_stubs.clock import VirtualClock
from firmware_stubs.machine import VirtualMachine
from tests.builders import an_instant


@pytest.fixture(params=["this machine", "virtual machine"])
def machine(request: pytest.FixtureRequest) -> Machine:
    return LinuxMachine() if request.param == "this machine" else VirtualMachine(VirtualClock(60.0), "pump-07")


def collected(machine: Machine, times: int = 3) -> list[dict[str, float]]:
    clock, collector = SystemClock(), HostCollector(machine)
    readings = []
    for _ in range(times):
        readings.append(dict(collector.collect(clock.now())))
        time.sleep(0.05)
    return readings


def test_every_reading_is_a_documented_metric_and_a_number(machine: Machine) -> None:
    for reading in collected(machine):
        assert {series_name(series) for series in reading} <= METRICS.keys()
        assert all(map(math.isfinite, reading.values()))


def test_totals_never_decrease(machine: Machine) -> None:
    readings = collected(machine)
    for before, after in pairwise(readings):
        for series, value in after.items():
            if metric_of(series).kind is Kind.COUNTER:
                assert value >= before.get(series, 0.0)


def test_the_shares_of_cpu_time_add_up_to_one(machine: Machine) -> None:
    last = collected(machine)[-1]
    shares = [value for series, value in last.items() if series_name(series) == "system.cpu.utilization"]
    assert math.isclose(sum(shares), 1.0, rel_tol=1e-9)


def test_the_basics_of_any_machine_are_there(machine: Machine) -> None:
    names = {series_name(series) for series in collected(machine)[-1]}
    assert names >= {
        "system.cpu.utilization", "system.cpu.load_average.1m", "system.memory.usage", "system.linux.memory.available",
        "system.filesystem.usage", "system.disk.io", "system.network.io", "system.process.count", "system.uptime",
    }  # fmt: skip


def test_a_machine_without_sensors_has_no_temperature_rather_than_zero() -> None:
    class Bare(VirtualMachine):
        def temperatures(self) -> dict[str, Temperature]:
            return {}

    reading = collected(Bare(VirtualClock(), "pump-07"))[-1]
    assert not [series for series in reading if series_name(series).startswith("hw.")]


def test_free_bytes_are_those_of_statvfs() -> None:
    reading = collected(LinuxMachine())[-1]
    stat = os.statvfs("/")
    free = reading["system.filesystem.usage{system.filesystem.mountpoint=/,system.filesystem.state=free}"]
    assert free == pytest.approx(stat.f_bavail * stat.f_frsize, rel=0.05)


def test_kernel_file_systems_and_excluded_mounts_are_left_out() -> None:
    mounted = {mount.mountpoint for mount in LinuxMachine().mounts()}
    assert "/" in mounted
    assert not {place for place in mounted if place.startswith(("/proc", "/sys"))}
    assert "/" not in {mount.mountpoint for mount in LinuxMachine(exclude_mounts=("/",)).mounts()}


HEALTHY = "27 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"


@pytest.mark.parametrize(
    ("later", "refuses"),
    [
        ("27 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 ro\n", True),
        ("27 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw,emergency_ro\n", True),
        ("27 1 179:2 / / ro,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n", False),  # a sandbox, not a fault
        (HEALTHY, False),
    ],
)
def test_an_error_remount_is_a_fault_and_the_sandbox_of_a_service_is_not(
    tmp_path: Path, later: str, refuses: bool
) -> None:
    mountinfo = tmp_path / "proc/self/mountinfo"
    mountinfo.parent.mkdir(parents=True)
    machine = LinuxMachine(proc=tmp_path / "proc")
    mountinfo.write_text(HEALTHY)
    assert [mount.refuses_writes for mount in machine.mounts()] == [False]
    mountinfo.write_text(later)
    assert [mount.refuses_writes for mount in machine.mounts()] == [refuses]


def test_a_file_system_that_is_read_only_on_purpose_is_not_reported(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("27 1 179:2 / / ro shared:1 - ext4 /dev/mmcblk0p2 ro\n")
    assert LinuxMachine(proc=tmp_path / "proc").mounts() == ()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text("# root\nPARTUUID=4d80-02 / ext4 defaults,noatime 0 1\n")
    assert [mount.refuses_writes for mount in LinuxMachine(proc=tmp_path / "proc").mounts()] == [True]


def chroot_of(tmp_path: Path, mountinfo: str) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text(mountinfo)
    return tmp_path / "proc"


def statvfs_flags(monkeypatch: pytest.MonkeyPatch, flags: int) -> None:
    """The flags of a real file system can't be changed without root; all else is what it is."""
    real = os.statvfs(".")
    values = [flags if name == "f_flag" else getattr(real, name) for name in _STATVFS]
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(values))


_STATVFS = (
    "f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_flag", "f_namemax",
)  # fmt: skip


def test_the_root_of_a_chroot_is_reported_although_mountinfo_does_not_list_it(tmp_path: Path) -> None:
    proc = chroot_of(tmp_path, "40 27 0:5 / /proc rw - proc proc rw\n")
    assert [(mount.mountpoint, mount.refuses_writes) for mount in LinuxMachine(proc=proc).mounts()] == [("/", False)]
    assert LinuxMachine(exclude_mounts=("/",), proc=proc).mounts() == ()


def test_a_folder_mounted_from_the_root_file_system_of_a_chroot_is_not_a_second_one(tmp_path: Path) -> None:
    number = tmp_path.stat().st_dev
    line = f"41 27 {os.major(number)}:{os.minor(number)} /srv /srv rw - ext4 /dev/mmcblk0p2 rw\n"
    assert [mount.mountpoint for mount in LinuxMachine(proc=chroot_of(tmp_path, line)).mounts()] == ["/"]


def test_the_root_of_a_chroot_is_faulty_only_if_it_was_writable_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = LinuxMachine(proc=chroot_of(tmp_path, ""))
    for flags, refuses in ((os.ST_RDONLY, []), (0, [False]), (os.ST_RDONLY, [True]), (0, [False])):
        statvfs_flags(monkeypatch, flags)
        assert [mount.refuses_writes for mount in machine.mounts()] == refuses


def test_a_failing_collector_is_named_and_the_others_continue() -> None:
    class Broken:
        name = "broken"

        def collect(self, now: Instant) -> dict[str, float]:
            raise OSError(f"no such sensor at {now.uptime_s:.0f}")

    collection = Collection((Broken(), SelfUsageCollector()))
    sample = collection.sample(SystemClock().now())
    assert "no such sensor" in collection.failing["broken"]
    assert sample.values["forewarn.agent.memory.usage"] > 1e6


LOST = {
    "mounts": {"system.filesystem.read_only"},
    "temperatures": {"hw.temperature"},
    "fans": set(),  # it has none
    "processes": {"system.process.count"},
    "fullest_process": {"forewarn.process.file_descriptor.utilization"},
    "load_average": {f"system.cpu.load_average.{minutes}m" for minutes in (1, 5, 15)},
    "cpu_times": {"system.cpu.utilization"},
    "memory": {"system.memory.usage", "system.memory.limit", "system.linux.memory.available"},
    "kernel_counters": {"system.process.created", "system.paging.faults"},
    "open_files": {"forewarn.file_descriptor.usage"},
    "space": {"system.filesystem.usage", "system.filesystem.inodes.usage"},
    "disks": {"system.disk.io", "system.disk.operations", "system.disk.io_time"},
    "nics": {
        "system.network.io",
        "system.network.packet.count",
        "system.network.errors",
        "system.network.packet.dropped",
    },
}


def names(sample: Sample) -> set[str]:
    return {series_name(series) for series in sample.values}


@pytest.mark.parametrize("part", LOST)
def test_an_unreadable_part_of_the_machine_does_not_affect_the_others(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_asked_for: str) -> None:
        raise ValueError("nonsense in a file of the kernel")

    machine = VirtualMachine(VirtualClock(), "pump-07")
    collection = Collection((HostCollector(machine),))
    collection.sample(an_instant(0))
    whole = collection.sample(an_instant(10))
    assert whole.values[UNREADABLE] == 0

    monkeypatch.setattr(machine, part, broken)
    for after_s in (20, 21):  # what is read every ten seconds is missing in between too
        sample = collection.sample(an_instant(after_s))
        assert names(whole) - names(sample) == LOST[part]
        assert sample.values[UNREADABLE] == 1
        assert list(collection.failing.values()) == ["ValueError: nonsense in a file of the kernel"]

    monkeypatch.undo()
    collection.sample(an_instant(30))
    assert names(collection.sample(an_instant(31))) == names(whole)
    assert not collection.failing


def test_readings_of_a_part_before_its_failure_are_kept() -> None:
    def part() -> Iterator[Reading]:
        yield "a", 1.0
        raise OSError("the second sensor is broken")

    assert read_parts({"sensors": part, "rest": lambda: [("b", 2.0)]}) == (
        {"a": 1.0, "b": 2.0},
        {"sensors": "OSError: the second sensor is broken"},
    )


def test_self_usage_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_process: object) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_full_info", refused)
    collection = Collection((SelfUsageCollector(),))
    assert collection.sample(an_instant()).values.keys() == {"forewarn.agent.written", UNREADABLE}
    assert collection.failing.keys() == {"self_usage.memory"}


def test_the_clock_reads_this_boot_and_never_decreases() -> None:
    clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert first.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert second.uptime_s >= first.uptime_s
    assert first.wall.tzinfo is not None
