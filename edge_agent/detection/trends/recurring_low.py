"""Habits: the low that a watched quantity has come back from by itself, as logs, caches and garbage collectors do.

What flows in: the headroom at each sample. What flows out: whether a level is one that this device is known to live
with. Above a known low a fall is no news; below it, it is.
"""

from dataclasses import dataclass

from edge_agent.detection.trends.multiscale_window import number, short

# A trend speaks of what has lost at least a third of what was there, so only what rises by half can have misled it.
COMES_BACK = 1.25
SAME = 0.8  # lows vary: four fifths of a known one are still the same
KEPT_S = 45 * 86_400.0  # a month and a half, for what is emptied once a month
CLOSE_CALL = 0.05  # share of the whole: to come back from less is no habit but a narrow escape, or somebody's help


@dataclass(slots=True)
class RecurringLow:
    """The lowest headroom that was come back from, until when it counts, and the lowest since the last return."""

    low: float | None = None
    until_s: float = 0.0
    _trough: float | None = None

    def add(self, headroom: float, whole: float, operating_s: float) -> None:
        """Take a reading; what has risen well above its lowest point has come back from there."""
        if self.low is not None and operating_s >= self.until_s:
            self.low = None
        if self._trough is None or headroom < self._trough:
            self._trough = headroom
        elif headroom >= COMES_BACK * self._trough:
            if self._trough >= CLOSE_CALL * whole and (self.low is None or self._trough <= self.low / SAME):
                self.low = self._trough if self.low is None else min(self.low, self._trough)
                self.until_s = operating_s + KEPT_S
            self._trough = headroom

    def knows(self, headroom: float) -> bool:
        """Say whether the device has been about this low before, and came back."""
        return self.low is not None and headroom >= SAME * self.low

    def restart(self) -> None:
        """Forget the way down: memory that a reboot gave back did not come back by itself."""
        self._trough = None

    def export_state(self) -> list[float | None]:
        """Return the known low, until when it counts, and the way down so far, fit for JSON."""
        return [short(self.low), round(self.until_s), short(self._trough)]

    @classmethod
    def restored(cls, state: object) -> "RecurringLow":
        """Read an exported state. Raises ValueError."""
        if not isinstance(state, list) or len(state) != 3:
            raise ValueError("a habit must be a low, until when it counts, and the way down")
        low, until_s, trough = (None if value is None else number(value) for value in state)
        return cls(low=low, until_s=until_s or 0.0, _trough=trough)
