"""The past of one series in about 6 kB: lowest, highest and last value of each bin of the last day and the last week.

What flows in: readings on the clock that continues over reboots. What flows out: the bins, for features of a ramp.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_agent.detection.trends.multiscale_window import Array, number, short

DAY_S = 86_400.0
# Spacing and number of bins: a day in steps of five minutes, a week in steps of a quarter of an hour.
FINE, COARSE = (300.0, 288), (900.0, 672)
_SCALE = 65_535  # of a 16-bit value between the lowest and the highest


@dataclass(frozen=True, slots=True)
class Bins:
    """Lowest, highest and last value of consecutive bins, oldest first; the newest one is still open."""

    spacing_s: float
    low: Array
    high: Array
    last: Array

    def flipped(self) -> "Bins":
        """Return the bins of the negative series."""
        return Bins(self.spacing_s, -self.high, -self.low, -self.last)


@dataclass(frozen=True, slots=True)
class Past:
    """The last day in fine bins and the last week in coarse ones."""

    fine: Bins
    coarse: Bins

    def flipped(self) -> "Past":
        """Return the past of the negative series."""
        return Past(self.fine.flipped(), self.coarse.flipped())


class BinnedSeries:
    """A series in bins of one spacing. Bins without readings repeat the last value."""

    def __init__(self, spacing_s: float, most: int) -> None:
        self.spacing_s, self._most = spacing_s, most
        self._bins = np.empty((3, 0), np.float32)  # lowest, highest, last
        self._slot: int | None = None
        self._open = (0.0, 0.0, 0.0)

    def add(self, t: float, v: float) -> None:
        """Add a reading; an earlier one than the last is taken as of the open bin."""
        slot = int(t // self.spacing_s)
        if self._slot is None or slot > self._slot:
            self._close(0 if self._slot is None else slot - self._slot)
            self._slot, self._open = slot, (v, v, v)
        else:
            low, high, _ = self._open
            self._open = (v if v < low else low, v if v > high else high, v)

    def _close(self, steps: int) -> None:
        """Append the open bin, and its last value for each bin that had no reading."""
        if steps:
            empty = np.full((3, min(steps, self._most) - 1), self._open[2], np.float32)
            closed = np.array(self._open, np.float32)[:, np.newaxis]
            self._bins = np.concatenate([self._bins, closed, empty], axis=1)[:, -self._most :]

    def known_s(self) -> float:
        """Return how far the closed bins reach back."""
        return self._bins.shape[1] * self.spacing_s

    def bins(self) -> Bins:
        """Return all bins; the series must have a reading."""
        whole = np.concatenate([self._bins, np.array(self._open, np.float32)[:, np.newaxis]], axis=1)
        low, high, last = whole.astype(np.float64)
        return Bins(self.spacing_s, low, high, last)

    def export_state(self) -> dict[str, object]:
        """Return the bins at six bytes each, fit for JSON."""
        values = self._bins.astype(np.float64)
        low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
        scaled = np.rint((values - low) / ((high - low) or 1.0) * _SCALE).astype("<u2")
        return {
            "slot": self._slot,
            "low": short(low),
            "high": short(high),
            "bins": base64.b64encode(scaled.tobytes()).decode(),
            "open": [short(value) for value in self._open],
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore exported bins. Raises ValueError, KeyError or TypeError, and then changes nothing."""
        packed, slot, opened = base64.b64decode(str(state["bins"]), validate=True), state["slot"], state["open"]
        if len(packed) % 6 or len(packed) > 6 * self._most:
            raise ValueError("bins are cut off, or too many")
        if not (slot is None or (isinstance(slot, int) and slot >= 0)) or not isinstance(opened, list):
            raise ValueError("slot must be a number, and open a list")
        lowest, highest, low, high, last = map(number, (state["low"], state["high"], *opened))
        scaled = np.frombuffer(packed, "<u2").reshape(3, -1) / _SCALE
        self._bins = (lowest + scaled * (highest - lowest)).astype(np.float32)
        self._slot, self._open = slot, (low, high, last)


class SeriesPast:
    """The last day and the last week of one series."""

    def __init__(self) -> None:
        self._parts = (BinnedSeries(*FINE), BinnedSeries(*COARSE))

    def add(self, t: float, v: float) -> None:
        """Add a reading, at a time in seconds that does not decrease."""
        for part in self._parts:
            part.add(t, v)

    def known_s(self) -> float:
        """Return how far the past reaches back, up to a week."""
        return self._parts[1].known_s()

    def past(self) -> Past:
        """Return the bins; the series must have a reading."""
        fine, coarse = self._parts
        return Past(fine.bins(), coarse.bins())

    def export_state(self) -> list[dict[str, object]]:
        """Return both parts, about 8 kB, fit for JSON."""
        return [part.export_state() for part in self._parts]

    def restore_state(self, state: object) -> None:
        """Restore both parts. Raises ValueError, KeyError or TypeError."""
        if not isinstance(state, list) or len(state) != len(self._parts):
            raise ValueError("past must be a list of two parts")
        for part, exported in zip(self._parts, state, strict=True):
            part.restore_state(exported)
