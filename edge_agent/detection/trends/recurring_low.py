"""Recurring lows: headroom that has recovered without intervention, as with logs, caches and garbage collectors.

What flows in: the headroom at each sample. What flows out: whether the headroom is at or above a known recurring low.
A fall to such a level is normal for the device; a fall below it is not.
"""

from dataclasses import dataclass

from edge_agent.detection.trends.multiscale_window import number, short

# A trend needs a fall by at least a third, so only a rise by half can have caused a false one.
RECOVERY_FACTOR = 1.25
SAME = 0.8  # lows vary: a low of four fifths of a known one is the same
KEPT_S = 45 * 86_400.0  # a month and a half, for monthly cleanups
CLOSE_CALL = 0.05  # share of the total: recovery from below is by chance or by intervention


@dataclass(slots=True)
class RecurringLow:
    """The lowest headroom that recovered, its expiry, and the lowest headroom since the last recovery."""

    low: float | None = None
    until_s: float = 0.0
    _trough: float | None = None

    def add(self, headroom: float, whole: float, operating_s: float) -> None:
        """Add a reading; a rise well above the lowest point is a recovery."""
        if self.low is not None and operating_s >= self.until_s:
            self.low = None
        if self._trough is None or headroom < self._trough:
            self._trough = headroom
        elif headroom >= RECOVERY_FACTOR * self._trough:
            if self._trough >= CLOSE_CALL * whole and (self.low is None or self._trough <= self.low / SAME):
                self.low = self._trough if self.low is None else min(self.low, self._trough)
                self.until_s = operating_s + KEPT_S
            self._trough = headroom

    def recovered(self, whole: float, operating_s: float) -> None:
        """Take the current low as one that the device recovered from, however small the recovery was.

        It is called when a trend that had opened a case came back by itself.
        """
        if self._trough is None or self._trough < CLOSE_CALL * whole:
            return
        self.low = self._trough if self.low is None else min(self.low, self._trough)
        self.until_s = operating_s + KEPT_S

    def covers(self, headroom: float) -> bool:
        """Return whether the device has recovered from about this low before."""
        return self.low is not None and headroom >= SAME * self.low

    def restart(self) -> None:
        """Forget the current low: memory that a reboot freed did not recover without intervention."""
        self._trough = None

    def export_state(self) -> list[float | None]:
        """Return the known low, its expiry, and the current low, fit for JSON."""
        return [short(self.low), round(self.until_s), short(self._trough)]

    @classmethod
    def restored(cls, state: object) -> "RecurringLow":
        """Read an exported state. Raises ValueError."""
        if not isinstance(state, list) or len(state) != 3:
            raise ValueError("habit must be a low, its expiry, and the current low")
        low, until_s, trough = (None if value is None else number(value) for value in state)
        return cls(low=low, until_s=until_s or 0.0, _trough=trough)
