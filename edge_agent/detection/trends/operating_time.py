"""Operating time: seconds on a clock that continues over reboots, for trends that take days.

What flows in: instants. What flows out: seconds that never decrease, and that steps of the wall clock do not change.

Within a boot, operating time advances with the uptime. The time that the device was off is taken from the wall clock,
if a time server had set it before and after; otherwise it counts as zero. So on a device without a valid clock, a slow
trend is extrapolated in days of operation rather than in calendar days, and a wrong wall clock has no effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.detection.trends.multiscale_window import number
from edge_agent.protocol.instant import Instant

LONGEST_OFF_S = 60 * 86_400.0  # after a longer gap, the wall clock is assumed to be wrong


@dataclass(slots=True)
class OperatingTime:
    """The operating time at the last reading, and its offset to the uptime of this boot."""

    boot_id: str = ""
    ahead_s: float = 0.0
    last_s: float = 0.0
    last_wall_s: float | None = None  # the wall clock then, if a time server had set it
    _before: tuple[float, float] | None = (
        None  # (operating time, wall clock) at the end of the last boot, until it is used
    )

    def at(self, now: Instant) -> float:
        """Return the operating time at an instant, and store it as the last one."""
        if now.boot_id != self.boot_id:
            self._before = None if self.last_wall_s is None else (self.last_s, self.last_wall_s)
            self.boot_id, self.ahead_s = now.boot_id, self.last_s
        if self._before is not None and now.synced:
            operating_s, wall_s = self._before
            off_s = operating_s + now.wall.timestamp() - wall_s - (now.uptime_s + self.ahead_s)
            self.ahead_s += off_s if 0 < off_s <= LONGEST_OFF_S else 0.0
            self._before = None
        self.last_s = max(self.last_s, now.uptime_s + self.ahead_s)
        self.last_wall_s = now.wall.timestamp() if now.synced else None
        return self.last_s

    def export_state(self) -> dict[str, object]:
        """Return what the next boot needs, fit for JSON."""
        return {"boot_id": self.boot_id, "ahead_s": self.ahead_s, "last_s": self.last_s, "wall_s": self.last_wall_s}

    @classmethod
    def restored(cls, state: Mapping[str, object]) -> "OperatingTime":
        """Read an exported state. Raises KeyError or ValueError."""
        boot_id, ahead_s, last_s, wall_s = (state[key] for key in ("boot_id", "ahead_s", "last_s", "wall_s"))
        if not isinstance(boot_id, str):
            raise ValueError("boot_id must be a string")
        restored = cls(boot_id=boot_id, ahead_s=number(ahead_s), last_s=number(last_s))
        restored.last_wall_s = None if wall_s is None else number(wall_s)
        return restored
