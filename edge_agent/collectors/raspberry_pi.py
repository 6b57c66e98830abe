"""The Raspberry Pi collector: its voltage alarm and the clock of its cores. Neither needs any privilege.

What flows in: files below a root. What flows out: `{series: value}`; on other machines there may be nothing to say.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_agent.collectors.files import read_number, read_text
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series

UNDERVOLTAGE = series("hw.status", hw__name="rpi_volt", hw__state="degraded", hw__type="voltage")
_CLOCKS_EVERY_S = 10.0
_LOOK_AGAIN_EVERY_S = 60.0  # the driver is a module, and may be loaded after us


class RaspberryPiCollector:
    """Reads the alarm at every sample (it covers the last two seconds only), the clocks every ten seconds."""

    name = "raspberry_pi"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._alarm: Path | None = None
        self._looked_at_s = self._clocks_at_s = float("-inf")
        self._clocks: dict[str, float] = {}

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return what this board says of itself; a file that is missing or refused is left out."""
        if now.uptime_s - self._clocks_at_s >= _CLOCKS_EVERY_S:
            self._clocks, self._clocks_at_s = dict(self._read_clocks()), now.uptime_s
        values = dict(self._clocks)
        if self._alarm is None and now.uptime_s - self._looked_at_s >= _LOOK_AGAIN_EVERY_S:
            self._alarm, self._looked_at_s = self._find_alarm(), now.uptime_s
        if self._alarm is not None:
            if (alarm := read_number(self._alarm)) is None:
                self._alarm = None  # hwmon numbers change when a driver is loaded again
            else:
                values[UNDERVOLTAGE] = alarm
        return values

    def _find_alarm(self) -> Path | None:
        """Find the sensor by name, since its number differs from boot to boot; boards of the Zero have no detector."""
        if "Zero" in (read_text(self._root / "proc/device-tree/model") or ""):
            return None  # the file is there and always says 0: that is no knowledge
        for name in sorted((self._root / "sys/class/hwmon").glob("hwmon*/name")):
            if (read_text(name) or "").strip() == "rpi_volt":
                return name.with_name("in0_lcrit_alarm")
        return None

    def _read_clocks(self) -> Iterator[tuple[str, float]]:
        for policy in sorted((self._root / "sys/devices/system/cpu/cpufreq").glob("policy*")):
            if (kilohertz := read_number(policy / "scaling_cur_freq")) is not None:
                number = policy.name.removeprefix("policy")
                yield series("system.cpu.frequency", cpu__logical_number=number), kilohertz * 1000
