"""The device's clock: boot, uptime and wall time read together, and waiting for an uptime.

The agent reads a `Clock` and never the operating system, so that a virtual device can run faster.
"""

import ctypes
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from edge_agent.protocol.instant import Instant

_STA_UNSYNC = 0x40  # adjtimex(2), status bit: the clock was never set, or not for too long
_STATUS_WORD = 5  # of struct timex in longs: modes, offset, freq, maxerror, esterror, status
_SYNC_READ_EVERY_S = 30.0


class Clock(Protocol):
    """The clock that the agent reads."""

    def now(self) -> Instant:
        """Read the clock once."""
        ...

    def wait_until(self, uptime_s: float, stop: threading.Event) -> None:
        """Return when `uptime_s` is reached, or at once when `stop` is set."""
        ...


class SystemClock:
    """The machine's own clocks. CLOCK_BOOTTIME counts during suspend, and no time server steps it."""

    def __init__(self) -> None:
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._synced = False
        self._sync_read_at = float("-inf")

    def now(self) -> Instant:
        """Read uptime, wall clock and whether the wall clock is synchronised."""
        uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        if uptime_s - self._sync_read_at >= _SYNC_READ_EVERY_S:
            self._synced, self._sync_read_at = self._read_synced(), uptime_s
        return Instant(boot_id=self._boot_id, uptime_s=uptime_s, wall=datetime.now(UTC), synced=self._synced)

    def wait_until(self, uptime_s: float, stop: threading.Event) -> None:
        """Sleep until CLOCK_BOOTTIME reads `uptime_s`."""
        while (left := uptime_s - time.clock_gettime(time.CLOCK_BOOTTIME)) > 0:
            if stop.wait(left):
                return

    def _read_synced(self) -> bool:
        """Ask the kernel without changing anything; adjtimex(2) with modes 0 needs no privilege."""
        timex = (ctypes.c_long * 64)()  # larger than struct timex on every platform; `modes` is its first int
        if self._libc.adjtimex(ctypes.byref(timex)) < 0:
            return False
        return not timex[_STATUS_WORD] & _STA_UNSYNC
