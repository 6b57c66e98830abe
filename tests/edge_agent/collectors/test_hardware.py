"""Boards and drives: the sample trees of several machines, with what is missing, shuffled or refused."""

from pathlib import Path

import pytest

from edge_agent.collectors.machine import LinuxMachine
from edge_agent.collectors.raspberry_pi import UNDERVOLTAGE, RaspberryPiCollector
from edge_agent.collectors.storage import StorageCollector
from edge_agent.protocol.metrics import METRICS, series_name
from tests.builders import an_instant

PI_5 = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon1/name": "rp1_adc\n",
    "sys/class/hwmon/hwmon2/name": "pwmfan\n",
    "sys/class/hwmon/hwmon3/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon3/in0_lcrit_alarm": "1\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "2400000\n",
    "sys/block/mmcblk0/device/type": "SD\n",
    "sys/fs/ext4/mmcblk0p2/errors_count": "0\n",
    "sys/fs/ext4/features/batched_discard": "supported\n",
}
PI_4 = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/class/hwmon/hwmon1/name": "cpu_thermal\n",
    "sys/class/hwmon/hwmon0/name": "rpi_volt\n",
    "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "0\n",
    "sys/fs/ext4/mmcblk0p2/errors_count": "7\n",
}
ZERO_2 = PI_4 | {"proc/device-tree/model": "Raspberry Pi Zero 2 W Rev 1.0\0"}
WORN_CM4 = {
    "sys/block/mmcblk0/device/life_time": "0x09 0x0a\n",
    "sys/block/mmcblk0/device/pre_eol_info": "0x02\n",
}
LEFT = "hw.physical_disk.endurance_utilization{hw.name=mmcblk0,hw.physical_disk.state=remaining}"
FAILS = "hw.status{hw.name=mmcblk0,hw.state=predicted_failure,hw.type=physical_disk}"
ERRORS = "hw.errors{hw.name=mmcblk0p2,hw.type=logical_disk}"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("files", "reads"),
    [
        (PI_5, {UNDERVOLTAGE: 1.0, "system.cpu.frequency{cpu.logical_number=0}": 2.4e9}),
        (PI_4, {UNDERVOLTAGE: 0.0}),
        (ZERO_2, {}),  # it has the file and no detector
        ({}, {}),
    ],
)
def test_a_board_says_what_it_has_and_nothing_else(tmp_path: Path, files: dict[str, str], reads: object) -> None:
    assert RaspberryPiCollector(tree(tmp_path, files)).collect(an_instant()) == reads


def test_the_voltage_alarm_is_read_at_every_sample_and_found_again_under_another_number(tmp_path: Path) -> None:
    collector = RaspberryPiCollector(tree(tmp_path, PI_4))
    alarm = tmp_path / "sys/class/hwmon/hwmon0/in0_lcrit_alarm"
    assert collector.collect(an_instant(0))[UNDERVOLTAGE] == 0
    alarm.write_text("1\n")
    assert collector.collect(an_instant(1))[UNDERVOLTAGE] == 1
    (tmp_path / "sys/class/hwmon/hwmon0").rename(tmp_path / "sys/class/hwmon/hwmon7")
    assert UNDERVOLTAGE not in collector.collect(an_instant(2))
    assert collector.collect(an_instant(62))[UNDERVOLTAGE] == 1


@pytest.mark.parametrize(
    ("files", "reads"),
    [
        (PI_5, {ERRORS: 0.0}),
        (PI_4, {ERRORS: 7.0}),
        (WORN_CM4, {LEFT: 0.1, FAILS: 1.0}),
        ({"sys/block/mmcblk0/device/life_time": "0x00 0x00\n"}, {}),  # older than eMMC 5.0
        ({"sys/block/mmcblk0/device/life_time": "0x01 0x02\n"}, {LEFT: 0.9}),
        ({"sys/block/mmcblk0/device/life_time": "0x0b 0x01\n"}, {LEFT: 0.0}),
        ({"sys/fs/ext4/mmcblk0p2/errors_count": "", "sys/block/mmcblk0/device/life_time": "what?\n"}, {}),
        ({}, {}),
    ],
)
def test_drives_say_what_they_know(tmp_path: Path, files: dict[str, str], reads: object) -> None:
    assert StorageCollector(tree(tmp_path, files)).collect(an_instant()) == reads


def test_errors_are_read_every_minute(tmp_path: Path) -> None:
    collector = StorageCollector(tree(tmp_path, PI_5))
    assert collector.collect(an_instant(0))[ERRORS] == 0
    tree(tmp_path, PI_4)
    assert collector.collect(an_instant(59))[ERRORS] == 0
    assert collector.collect(an_instant(60))[ERRORS] == 7


def test_what_may_not_be_read_is_left_out_and_the_rest_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_text

    def refused(path: Path, *, errors: str | None = None) -> str:
        if path.name in ("in0_lcrit_alarm", "errors_count", "pre_eol_info"):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, errors=errors)

    tree(tmp_path, PI_5 | WORN_CM4)
    monkeypatch.setattr(Path, "read_text", refused)
    assert RaspberryPiCollector(tmp_path).collect(an_instant()).keys() == {"system.cpu.frequency{cpu.logical_number=0}"}
    assert StorageCollector(tmp_path).collect(an_instant()).keys() == {LEFT}


def test_programs_that_the_kernel_killed_are_counted(tmp_path: Path) -> None:
    tree(tmp_path, {"proc/vmstat": "pgmajfault 7\noom_kill 2\n"})
    (tmp_path / "proc/stat").write_text("cpu 1 2 3\nprocesses 9\n")
    counters = LinuxMachine(proc=tmp_path / "proc").kernel_counters()
    assert counters == {"pgmajfault": 7.0, "oom_kill": 2.0, "processes": 9.0}


def test_an_ext4_error_that_leaves_the_mount_writable_is_seen_by_its_count(tmp_path: Path) -> None:
    """Linux 6.12 keeps `rw` in mountinfo after an error."""
    mountinfo = "27 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"
    root = tree(tmp_path, PI_4 | {"proc/self/mountinfo": mountinfo})
    assert [mount.refuses_writes for mount in LinuxMachine(proc=root / "proc").mounts()] == [False]
    assert StorageCollector(root).collect(an_instant())[ERRORS] == 7


def test_this_machine_is_read_with_documented_metrics_only() -> None:
    for collector in (RaspberryPiCollector(), StorageCollector()):
        assert {series_name(series) for series in collector.collect(an_instant())} <= METRICS.keys()
