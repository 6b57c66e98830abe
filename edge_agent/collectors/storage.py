"""Storage collector: error counts of ext4 file systems, and the wear of eMMC devices. Needs no privilege.

What flows in: files below a root. What flows out: `{series: value}`.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_agent.collectors.files import read_number, read_text
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series

_ERRORS_EVERY_S = 60.0
_EXCEEDED = 0x0B  # JEDEC JESD84-B51, DEVICE_LIFE_TIME_EST: 1 is up to 10 % used, 10 up to 100 %, 11 more than that
_END_OF_LIFE_WARNING = 2  # PRE_EOL_INFO: 80 % of the reserved blocks are used, 3 is 90 %


class StorageCollector:
    """Reads error counts every minute; wear once, since the kernel reads it only when the card starts."""

    name = "storage"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._wear: dict[str, float] | None = None
        self._errors: dict[str, float] = {}
        self._errors_at_s = float("-inf")

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return errors and wear; files that are missing or unreadable are skipped."""
        if self._wear is None:
            self._wear = dict(self._read_wear())
        if now.uptime_s - self._errors_at_s >= _ERRORS_EVERY_S:
            self._errors, self._errors_at_s = dict(self._read_errors()), now.uptime_s
        return self._wear | self._errors

    def _read_errors(self) -> Iterator[tuple[str, float]]:
        for count in sorted((self._root / "sys/fs/ext4").glob("*/errors_count")):
            if (errors := read_number(count)) is not None:
                yield series("hw.errors", hw__name=count.parent.name, hw__type="logical_disk"), errors

    def _read_wear(self) -> Iterator[tuple[str, float]]:
        for device in sorted((self._root / "sys/block").glob("mmcblk*/device")):
            disk = device.parent.name
            if (left := _endurance_left(read_text(device / "life_time"))) is not None:
                name = "hw.physical_disk.endurance_utilization"
                yield series(name, hw__name=disk, hw__physical_disk__state="remaining"), left
            if warning := read_number(device / "pre_eol_info"):  # 0 is not defined
                status = series("hw.status", hw__name=disk, hw__state="predicted_failure", hw__type="physical_disk")
                yield status, float(warning >= _END_OF_LIFE_WARNING)


def _endurance_left(life_time: str | None) -> float | None:
    """Return the remaining share of the more worn part, from the two estimates of an eMMC ("0x09 0x0a")."""
    try:
        used = max(int(word, 16) for word in (life_time or "").split())
    except ValueError:
        return None
    return (_EXCEEDED - used) / 10 if 1 <= used <= _EXCEEDED else None
