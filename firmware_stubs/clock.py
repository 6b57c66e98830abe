"""A clock that can run faster: one real second is `speed` seconds of the device's life."""

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

from edge_agent.protocol.instant import Instant

UP_S = 3600.0  # a virtual device has been up for an hour when it is made: what happens at boot is another story


class VirtualClock:
    """Starts at uptime `UP_S` when it is made. At another speed than 1 its wall clock counts as not synchronised."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._boot_id = str(uuid.uuid4())
        self._real_start_s = time.monotonic()
        self._wall_start = datetime.now(UTC)

    def now(self) -> Instant:
        """Read the device's clocks."""
        lived_s = (time.monotonic() - self._real_start_s) * self.speed
        wall = self._wall_start + timedelta(seconds=lived_s)
        return Instant(boot_id=self._boot_id, uptime_s=UP_S + lived_s, wall=wall, synced=self.speed == 1.0)

    def wait_until(self, uptime_s: float, stop: threading.Event) -> None:
        """Wait until the device's uptime is reached, or `stop` is set."""
        left_s = self._real_start_s + (uptime_s - UP_S) / self.speed - time.monotonic()
        if left_s > 0:
            stop.wait(left_s)

    def real_time_of(self, uptime_s: float) -> datetime:
        """Return the real instant at which the device reaches an uptime."""
        return self._wall_start + timedelta(seconds=(uptime_s - UP_S) / self.speed)
