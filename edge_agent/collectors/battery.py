"""Battery collector: charge, capacity relative to the design capacity, and health. Needs no privilege.

What flows in: files of /sys/class/power_supply below a root (kernel Documentation/ABI/testing/sysfs-class-power).
What flows out: `{series: value}`; a machine without a battery has none. Batteries of mice and keyboards are excluded.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_agent.collectors.cached import Cached
from edge_agent.collectors.collection import Reading
from edge_agent.collectors.files import read_number, read_text
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series

_EVERY_S = 60.0
_FAILED = frozenset({"Dead", "Unspecified failure"})  # other values are temporary: too hot, too cold, too full


class BatteryCollector:
    """Reads every battery once a minute."""

    name = "battery"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._cached = Cached(_EVERY_S, self._read)

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return the readings of all batteries; files that are missing or unreadable are skipped."""
        return self._cached.at(now)

    def _read(self) -> Iterator[Reading]:
        for kind in sorted((self._root / "sys/class/power_supply").glob("*/type")):
            battery = kind.parent
            if read_text(kind) == "Battery" and read_text(battery / "scope") != "Device":
                yield from _read_battery(battery)


def _read_battery(battery: Path) -> Iterator[Reading]:
    name = battery.name
    if (percent := read_number(battery / "capacity")) is not None:
        yield series("hw.battery.charge", hw__name=name), percent / 100
    if (status := read_text(battery / "status")) is not None:
        state = series("hw.status", hw__name=name, hw__state="discharging", hw__type="battery")
        yield state, float(status == "Discharging")
    if (health := read_text(battery / "health")) not in (None, "Unknown"):
        yield series("hw.status", hw__name=name, hw__state="failed", hw__type="battery"), float(health in _FAILED)
    for what in ("energy", "charge"):  # µWh or µAh, depending on the gauge
        full, design = read_number(battery / f"{what}_full"), read_number(battery / f"{what}_full_design")
        if full and design:
            yield series("forewarn.battery.capacity.utilization", hw__name=name), full / design
            return
