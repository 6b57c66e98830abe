"""Boards and drives: the sample trees of several machines, with what is missing, shuffled or refused."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.collectors import Collector, raspberry_pi
from edge_agent.collectors.battery import BatteryCollector
from edge_agent.collectors.machine import LinuxMachine
from edge_agent.collectors.raspberry_pi import UNDERVOLTAGE, RaspberryPiCollector, ask_firmware
from edge_agent.collectors.storage import StorageCollector
from edge_agent.collectors.wifi import WifiCollector
from edge_agent.protocol.metrics import METRICS, series, series_name
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
CAUSES = {cause: series("forewarn.cpu.throttled", forewarn__cause=cause) for cause in ("heat", "voltage", "soft_limit")}
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
def test_a_board_reports_only_what_it_has(tmp_path: Path, files: dict[str, str], reads: object) -> None:
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
def test_drives_report_errors_and_wear(tmp_path: Path, files: dict[str, str], reads: object) -> None:
    assert StorageCollector(tree(tmp_path, files)).collect(an_instant()) == reads


def test_errors_are_read_every_minute(tmp_path: Path) -> None:
    collector = StorageCollector(tree(tmp_path, PI_5))
    assert collector.collect(an_instant(0))[ERRORS] == 0
    tree(tmp_path, PI_4)
    assert collector.collect(an_instant(59))[ERRORS] == 0
    assert collector.collect(an_instant(60))[ERRORS] == 7


def test_unreadable_files_are_skipped_and_the_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_ext4_error_that_leaves_the_mount_writable_is_counted(tmp_path: Path) -> None:
    """Linux 6.12 keeps `rw` in mountinfo after an error."""
    mountinfo = "27 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"
    root = tree(tmp_path, PI_4 | {"proc/self/mountinfo": mountinfo})
    assert [mount.refuses_writes for mount in LinuxMachine(proc=root / "proc").mounts()] == [False]
    assert StorageCollector(root).collect(an_instant())[ERRORS] == 7


class Firmware:
    """A Pi's firmware with these bits, behind the mailbox of one kind of kernel."""

    def __init__(self, bits: int = 0, mailbox: str = "vcio_gencmd") -> None:
        self.answer, self.mailbox = f"throttled=0x{bits:x}\n".encode(), mailbox

    def __call__(self, device: Path, command: str) -> bytes:
        if device.name != self.mailbox:
            raise PermissionError(13, "Permission denied", str(device))
        return self.answer if command == "get_throttled" else b'error=1 error_msg="Command not registered"'


def slowed(collector: Collector, after_s: float = 0.0) -> set[str]:
    values = collector.collect(an_instant(after_s))
    assert set(CAUSES.values()) <= values.keys()
    return {cause for cause, key in CAUSES.items() if values[key]}


@pytest.mark.parametrize("mailbox", ["vcio_gencmd", "vcio"])
@pytest.mark.parametrize(
    ("bits", "causes"),
    [
        (0x0, set()),
        (0x50000, set()),  # a dip in the past
        (0x50005, {"voltage"}),
        (0x80008, {"soft_limit"}),  # a 3B+ at 60 degrees
        (0xE0000, set()),
        (0x60006, {"heat"}),
        (0xE000E, {"heat", "soft_limit"}),
    ],
)
def test_firmware_reports_the_causes_of_throttling(tmp_path: Path, mailbox: str, bits: int, causes: set[str]) -> None:
    assert slowed(RaspberryPiCollector(tmp_path, Firmware(bits, mailbox))) == causes


def test_the_first_throttling_between_two_readings_is_reported_once(tmp_path: Path) -> None:
    firmware = Firmware(0x0)
    collector = RaspberryPiCollector(tmp_path, firmware)
    assert slowed(collector, 0) == set()
    firmware.answer = b"throttled=0x40000"
    assert slowed(collector, 9) == set(), "it is asked every ten seconds"
    assert slowed(collector, 10) == {"heat"}
    assert slowed(collector, 20) == set()
    firmware.answer = b"throttled=0x50000"
    assert slowed(collector, 30) == set(), "low voltage alone slows nothing"


@pytest.mark.parametrize(
    "answer", [b"", b"throttled=", b'error=1 error_msg="Command not registered"', b"throttled=0x1 and more"]
)
def test_unknown_answers_of_firmware_are_ignored(tmp_path: Path, answer: bytes) -> None:
    firmware = Firmware()
    firmware.answer = answer
    assert RaspberryPiCollector(tmp_path, firmware).collect(an_instant()) == {}


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=10))
def test_heat_and_undervoltage_are_distinguished_for_any_bits(words: list[int]) -> None:
    firmware = Firmware()
    collector = RaspberryPiCollector(Path("/nonexistent"), firmware)
    for number, bits in enumerate(words):
        firmware.answer = f"throttled=0x{bits:x}".encode()
        assert not {"heat", "voltage"} <= slowed(collector, 10.0 * number)


def test_the_mailbox_message_has_the_format_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of vcgencmd: 263 words, the tag of a text command, and the answer in the place of the question."""

    def kernel(_file: object, request: int, message: bytearray) -> int:
        assert request == (0xC0086400 if struct.calcsize("P") == 8 else 0xC0046400)
        assert struct.unpack_from("<6I", message) == (1052, 0, 0x00030080, 1024, 0, 0)
        assert len(message) == 1052
        assert bytes(message[24:]).rstrip(b"\0") == b"get_throttled"
        message[24:48] = b"throttled=0x50005".ljust(24, b"\0")
        return 0

    monkeypatch.setattr(raspberry_pi, "ioctl", kernel)
    (tmp_path / "vcio").write_bytes(b"")
    assert ask_firmware(tmp_path / "vcio", "get_throttled") == b"throttled=0x50005"


def test_a_device_that_is_no_mailbox_raises_oserror() -> None:
    with pytest.raises(OSError, match="ioctl"):
        ask_firmware(Path("/dev/null"), "get_throttled")
    with pytest.raises(FileNotFoundError):
        ask_firmware(Path("/dev/no-such-mailbox"), "get_throttled")


POWER = "sys/class/power_supply"
LAPTOP = {
    f"{POWER}/AC/type": "Mains\n",
    f"{POWER}/AC/online": "1\n",
    f"{POWER}/BAT0/type": "Battery\n",
    f"{POWER}/BAT0/status": "Discharging\n",
    f"{POWER}/BAT0/capacity": "83\n",
    f"{POWER}/BAT0/energy_full": "24000000\n",
    f"{POWER}/BAT0/energy_full_design": "50000000\n",
}
UPS = {
    f"{POWER}/ups/type": "Battery\n",
    f"{POWER}/ups/scope": "System\n",
    f"{POWER}/ups/status": "Full\n",
    f"{POWER}/ups/health": "Dead\n",
    f"{POWER}/ups/charge_full": "900000\n",
    f"{POWER}/ups/charge_full_design": "1000000\n",
}
MOUSE = {f"{POWER}/hid-1/type": "Battery\n", f"{POWER}/hid-1/scope": "Device\n", f"{POWER}/hid-1/capacity": "5\n"}


@pytest.mark.parametrize(
    ("files", "reads"),
    [
        (
            LAPTOP,
            {
                "hw.battery.charge{hw.name=BAT0}": 0.83,
                "hw.status{hw.name=BAT0,hw.state=discharging,hw.type=battery}": 1.0,
                "forewarn.battery.capacity.utilization{hw.name=BAT0}": 0.48,
            },
        ),
        (
            UPS,
            {
                "hw.status{hw.name=ups,hw.state=discharging,hw.type=battery}": 0.0,
                "hw.status{hw.name=ups,hw.state=failed,hw.type=battery}": 1.0,
                "forewarn.battery.capacity.utilization{hw.name=ups}": 0.9,
            },
        ),
        ({f"{POWER}/b/type": "Battery\n", f"{POWER}/b/health": "Unknown\n", f"{POWER}/b/charge_full": "0\n"}, {}),
        (MOUSE, {}),
        (PI_5, {}),
        ({}, {}),
    ],
)
def test_batteries_report_charge_capacity_and_health(tmp_path: Path, files: dict[str, str], reads: object) -> None:
    assert BatteryCollector(tree(tmp_path, files)).collect(an_instant()) == reads


WIRELESS = """\
Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
 wlan0: 0000   59.  -51.  -256        0      0      0     18      0        0
"""


@pytest.mark.parametrize(
    ("content", "reads"),
    [
        (WIRELESS, {"forewarn.wifi.signal{network.interface.name=wlan0}": -51.0}),
        (WIRELESS.replace("59.  -51.  -256", "0     0     0"), {}),  # not connected
        (WIRELESS.replace("-51.", "72."), {}),  # a share, from an old driver
        (WIRELESS[: WIRELESS.rindex("-51.")], {}),
        (WIRELESS[: WIRELESS.index(" wlan0")], {}),
        ("", {}),
    ],
)
def test_the_signal_of_a_connected_adapter_is_read(tmp_path: Path, content: str, reads: object) -> None:
    collector = WifiCollector(tree(tmp_path, {"proc/net/wireless": content}))
    assert collector.collect(an_instant()) == reads


@pytest.mark.parametrize("make", [BatteryCollector, WifiCollector])
def test_slow_sources_are_read_again_when_they_expire(tmp_path: Path, make: Callable[[Path], Collector]) -> None:
    collector = make(tmp_path)
    assert not collector.collect(an_instant(0))
    tree(tmp_path, LAPTOP | {"proc/net/wireless": WIRELESS})
    assert not collector.collect(an_instant(9))
    assert collector.collect(an_instant(60))


def test_this_machine_is_read_with_documented_metrics_only() -> None:
    for collector in (RaspberryPiCollector(), StorageCollector(), BatteryCollector(), WifiCollector()):
        assert {series_name(series) for series in collector.collect(an_instant())} <= METRICS.keys()
