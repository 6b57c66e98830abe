"""The alarm of one machine: opens after ten seconds above the bar, ends after ten seconds below it.

What flows in: a score a second, relative to the bar. What flows out: whether the alarm is open.
"""

from collections.abc import Mapping
from dataclasses import dataclass

HOLD_S = 10  # above the bar to open, below to end
ENDS_BELOW = 0.8  # of the bar
PEAK_SHARE = 0.1  # after a large fault the machine need not be exactly as it was
MOST_RAISED = 100.0  # times the bar: a sensor's error code must not blind the machine for a day
PEAK_HALF_LIFE_S = 600.0
_DECAY = 0.5 ** (1.0 / PEAK_HALF_LIFE_S)


@dataclass(slots=True)
class Alarm:
    """One alarm with hysteresis. An open one raises the bar to a tenth of its peak, which decays within minutes."""

    open: bool = False
    raised: float = 1.0
    _above_s: int = 0
    _below_s: int = 0

    def step(self, score: float) -> bool:
        """Take the score of one second (1 is the bar); return whether the alarm is open."""
        peak = min(MOST_RAISED, PEAK_SHARE * score) if self.open else 0.0
        self.raised = max(1.0, self.raised * _DECAY, peak)
        ends_below = self.raised if self.raised > 1.0 else ENDS_BELOW
        self._above_s = self._above_s + 1 if score > self.raised else 0
        self._below_s = self._below_s + 1 if score < ends_below else 0
        self.open = self._below_s < HOLD_S if self.open else self._above_s >= HOLD_S
        return self.open

    def resume(self) -> None:
        """Continue an alarm that was open when the agent stopped; it ends like any other."""
        self.open, self._below_s = True, 0

    def export_state(self) -> dict[str, object]:
        """Return what outlives a restart."""
        return {"raised": self.raised}

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError."""
        raised = state.get("raised")
        if not isinstance(raised, float) or not 1.0 <= raised < 1e9:
            raise ValueError(f"raised = {raised!r} must be a number from 1")
        self.raised = raised
