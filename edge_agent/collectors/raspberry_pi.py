"""Raspberry Pi collector: voltage alarm, CPU frequency, and throttling by firmware.

Only throttling needs a permission: the group of /dev/vcio (`video`). Without it, or on another machine, it is omitted.
What flows in: files below a root, and answers of the firmware. What flows out: `{series: value}`.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from fcntl import ioctl
from pathlib import Path

from edge_agent.collectors.collection import Reading
from edge_agent.collectors.files import read_number, read_text
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series

UNDERVOLTAGE = series("hw.status", hw__name="rpi_volt", hw__state="degraded", hw__type="voltage")
_SLOW_EVERY_S = 10.0
_SEARCH_EVERY_S = 60.0  # the driver is a module, and may be loaded after the agent starts
_MAILBOXES = ("dev/vcio_gencmd", "dev/vcio")  # newer kernels give the group `video` access to the first one only
_IOCTL = 0xC000_6400 | struct.calcsize("P") << 16  # _IOWR(100, 0, char *) (kernel drivers/char/broadcom/vcio.c)
_TEXT_COMMAND, _TEXT_BYTES = 0x0003_0080, 1024
_THROTTLED = re.compile(rb"throttled=0x([0-9a-fA-F]{1,8})\s*\Z")
# Bits of get_throttled (documentation, os/graphics-utilities): now; shifted by 16: since boot
_UNDERVOLTAGE, _CAPPED, _SLOWED, _SOFT_LIMIT = 1, 2, 4, 8
_SINCE_START = 16
Firmware = Callable[[Path, str], bytes]


def ask_firmware(device: Path, command: str) -> bytes:
    """Return the answer of the firmware to a command of `vcgencmd`. Raises OSError."""
    size = 6 * 4 + _TEXT_BYTES + 4  # the message, its tag with space for the text, and the end
    message = bytearray(
        struct.pack(f"<6I{_TEXT_BYTES}sI", size, 0, _TEXT_COMMAND, _TEXT_BYTES, 0, 0, command.encode(), 0)
    )
    with device.open("rb", buffering=0) as file:
        ioctl(file, _IOCTL, message)
    if error := struct.unpack_from("<I", message, 20)[0]:
        raise OSError(f"{device}: firmware refuses {command}: {error}")
    return bytes(message[24:]).partition(b"\0")[0]


class RaspberryPiCollector:
    """Reads the alarm at every sample (it covers only the last two seconds), the rest every ten seconds."""

    name = "raspberry_pi"

    def __init__(self, root: Path = Path("/"), firmware: Firmware = ask_firmware) -> None:
        """`firmware` returns the answer to a command for a device below the root, or raises OSError."""
        self._root, self._firmware = root, firmware
        self._alarm: Path | None = None
        self._searched_at_s = self._slow_at_s = float("-inf")
        self._slow: dict[str, float] = {}
        self._bits: int | None = None

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return the readings of the board; files that are missing or unreadable are skipped."""
        if now.uptime_s - self._slow_at_s >= _SLOW_EVERY_S:
            self._slow, self._slow_at_s = dict((*self._read_clocks(), *self._read_throttling())), now.uptime_s
        values = dict(self._slow)
        if self._alarm is None and now.uptime_s - self._searched_at_s >= _SEARCH_EVERY_S:
            self._alarm, self._searched_at_s = self._find_alarm(), now.uptime_s
        if self._alarm is not None:
            if (alarm := read_number(self._alarm)) is None:
                self._alarm = None  # hwmon numbers change when a driver is reloaded
            else:
                values[UNDERVOLTAGE] = alarm
        return values

    def _find_alarm(self) -> Path | None:
        """Find the sensor by name, since its number differs between boots; Zero boards have no detector."""
        if "Zero" in (read_text(self._root / "proc/device-tree/model") or ""):
            return None  # the file exists but always contains 0
        for name in sorted((self._root / "sys/class/hwmon").glob("hwmon*/name")):
            if (read_text(name) or "").strip() == "rpi_volt":
                return name.with_name("in0_lcrit_alarm")
        return None

    def _read_clocks(self) -> Iterator[Reading]:
        for policy in sorted((self._root / "sys/devices/system/cpu/cpufreq").glob("policy*")):
            if (kilohertz := read_number(policy / "scaling_cur_freq")) is not None:
                number = policy.name.removeprefix("policy")
                yield series("system.cpu.frequency", cpu__logical_number=number), kilohertz * 1000

    def _read_throttling(self) -> Iterator[Reading]:
        """Yield the causes of throttling, now or for the first time since the last reading."""
        if (bits := self._get_throttled()) is None:
            self._bits = None
            return
        before, self._bits = bits if self._bits is None else self._bits, bits
        seen = bits | (bits & ~before) >> _SINCE_START
        slowed, voltage = bool(seen & (_CAPPED | _SLOWED)), bool(seen & _UNDERVOLTAGE)
        for cause, holds in {
            "voltage": slowed and voltage,  # firmware sets the same bits for both causes
            "heat": slowed and not voltage,
            "soft_limit": bool(seen & _SOFT_LIMIT),
        }.items():
            yield series("forewarn.cpu.throttled", forewarn__cause=cause), float(holds)

    def _get_throttled(self) -> int | None:
        for mailbox in _MAILBOXES:
            try:
                answer = self._firmware(self._root / mailbox, "get_throttled")
            except OSError:
                continue  # no such device, or no permission
            if found := _THROTTLED.match(answer):
                return int(found[1], 16)
        return None
