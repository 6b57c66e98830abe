"""A clock that can run faster: one real second is `speed` seconds of device time."""

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

from edge_agent.protocol.instant import Instant

UP_S = 3600.0  # a virtual device starts with an hour of uptime: boot is not simulated


class VirtualClock:
    """Starts at uptime `UP_S`. At a speed other than 1, its wall clock is reported as not synchronised."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._boot_id = str(uuid.uuid4())
        self._real_start_s = time.monotonic()
        self._wall_start = datetime.now(UTC)

    def now(self) -> Instant:
        """Read the device's clocks."""
        elapsed_s = (time.monotonic() - self._real_start_s) * self.speed
        wall = self._wall_start + timedelta(seconds=elapsed_s)
        return Instant(boot_id=self._boot_id, uptime_s=UP_S + elapsed_s, wall=wall, synced=self.speed == 1.0)

    def wait_until(self, uptime_s: float, stop: threading.Event) -> None:
        """Wait until the device's uptime is reached, or `stop` is set."""
        left_s = self._real_start_s + (uptime_s - UP_S) / self.speed - time.monotonic()
        if left_s > 0:
            stop.wait(left_s)

    def real_time_of(self, uptime_s: float) -> datetime:
        """Return the real instant at which the device reaches an uptime."""
        return self._wall_start + timedelta(seconds=(uptime_s - UP_S) / self.speed)
