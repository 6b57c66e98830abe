"""Life: seconds on a clock that goes on where the last boot ended, for what takes days.

What flows in: instants. What flows out: seconds that never go back, and that no step of the wall clock moves.

Within a boot life runs with the uptime. Between two boots nobody counts; the time that the device was off is known only
from the wall clock, and only if a time server had set it before and after. Where it is not known, it counts as nothing:
life is then the time that was watched. So a disk that grows by day on a device without a clock runs out in days of work
rather than in days; what was watched stays right, and a wall clock that lies moves nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.detection.trends.multiscale_window import number
from edge_agent.protocol.instant import Instant

LONGEST_OFF_S = 60 * 86_400.0  # whoever was off for longer is another device, or its wall clock lies


@dataclass(slots=True)
class OperatingTime:
    """The operating time at the last reading, and by what it is ahead of this boot's uptime."""

    boot_id: str = ""
    ahead_s: float = 0.0
    last_s: float = 0.0
    last_wall_s: float | None = None  # the wall clock then, if a time server had set it
    _before: tuple[float, float] | None = None  # (life, wall clock) at the end of the last boot, until it is used

    def at(self, now: Instant) -> float:
        """Return the seconds of life at an instant, and remember it as the last one."""
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
            raise ValueError("boot_id must be a word")
        life = cls(boot_id=boot_id, ahead_s=number(ahead_s), last_s=number(last_s))
        life.last_wall_s = None if wall_s is None else number(wall_s)
        return life
