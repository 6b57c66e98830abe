"""Windows over one series at several time scales, in a few kilobytes: from seconds to days.

The coarse resolutions are persistent, and take some hundred bytes.
"""

import base64
import math
from collections import deque
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

POINTS = 64  # at each resolution but the coarsest
FACTOR = 8  # between the spacings of neighbouring fine resolutions
FINE_UP_TO_S = 1000.0  # spacing; at 1 Hz: 1, 8, 64 and 512 s, which look back over 64 s, 8.5 min, 68 min and 9 h
# Spacing and points of the persistent resolutions. Points of a whole day average over day and night.
COARSE = ((3600.0, 64), (86_400.0, 32))
_SCALE = 65_535  # of a 16-bit point between the lowest and the highest of its resolution
_MOST_STEPS = 255


class Resolution:
    """The last points of a series at one spacing; each point is the mean of the readings in its slot."""

    def __init__(self, spacing_s: float, points: int = POINTS) -> None:
        self.spacing_s = spacing_s
        self._t: deque[float] = deque(maxlen=points)
        self._v: deque[float] = deque(maxlen=points)
        self.clear()

    def clear(self) -> None:
        """Remove all points."""
        self._t.clear()
        self._v.clear()
        self._slot: int | None = None
        self._mean_t = self._mean_v = 0.0
        self._count = 0

    def add(self, t: float, v: float) -> bool:
        """Add a reading; return whether it completed a point."""
        slot = int(t // self.spacing_s)
        completed = self._slot is not None and slot != self._slot
        if completed:
            self._t.append(self._mean_t)
            self._v.append(self._mean_v)
        if completed or self._slot is None:
            self._slot, self._mean_t, self._mean_v, self._count = slot, 0.0, 0.0, 0
        self._count += 1
        self._mean_t += (t - self._mean_t) / self._count
        self._mean_v += (v - self._mean_v) / self._count
        return completed

    def __len__(self) -> int:
        return len(self._t)

    def falls_by(self, points: int) -> tuple[float, float]:
        """Return (seconds, fall) between the first and the last of the latest `points`, without making arrays."""
        return self._t[-1] - self._t[-points], self._v[-points] - self._v[-1]

    def deepest_fall(self) -> float:
        """Return the fall from the highest point to the last one: no window of this resolution has a deeper one."""
        return max(self._v) - self._v[-1] if self._v else 0.0

    def fall_over(self, span_s: float) -> float | None:
        """Return the fall per second over the latest `span_s`, between the means of its halves.

        A fall is positive. None with too few points.
        """
        points = round(span_s / self.spacing_s)
        if points < 4 or points > len(self):
            return None
        (t, v), half = self.last(points), points // 2
        return float((v[:half].mean() - v[half:].mean()) / (t[half:].mean() - t[:half].mean()))

    def last(self, points: int) -> tuple[Array, Array]:
        """Return times and values of the latest `points`, oldest first."""
        return np.array(self._t)[-points:], np.array(self._v)[-points:]

    def export_state(self) -> dict[str, object]:
        """Return the points at three bytes each (steps between slots, values between the extremes), fit for JSON."""
        slots = [int(t // self.spacing_s) for t in self._t]
        steps = [1, *np.diff(slots).tolist()]
        begin = max((place for place, step in enumerate(steps) if step > _MOST_STEPS), default=0)
        values = np.array(self._v)[begin:]
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        scaled = np.rint((values - low) / ((high - low) or 1.0) * _SCALE).astype("<u2")
        packed = bytes([1, *steps[begin + 1 :]][: len(values)]) + scaled.tobytes()
        return {
            "last": slots[-1] if slots else 0,
            "low": short(low),
            "high": short(high),
            "points": base64.b64encode(packed).decode(),
            "open": [round(self._mean_t, 1), short(self._mean_v), self._count],
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore exported points; each gets the time of the middle of its slot. Raises ValueError or TypeError."""
        packed = base64.b64decode(str(state["points"]), validate=True)
        if len(packed) % 3:
            raise ValueError("points are cut off")
        count = len(packed) // 3
        last, low, high, opened = state["last"], state["low"], state["high"], state["open"]
        if not (isinstance(last, int) and isinstance(opened, list) and len(opened) == 3):
            raise ValueError("last must be a slot, and open a time, a value and a count")
        numbers = [number(value) for value in (low, high, *opened)]
        steps = np.frombuffer(packed, "u1", count).astype(np.int64)
        values = numbers[0] + np.frombuffer(packed, "<u2", count, count) / _SCALE * (numbers[1] - numbers[0])
        if (steps == 0).any():
            raise ValueError("two points of one slot")
        self.clear()
        slots = last - np.append(steps[:0:-1].cumsum()[::-1], 0)  # counted back from the last one
        self._t.extend(((slots + 0.5) * self.spacing_s).tolist() if count else [])
        self._v.extend(values.tolist())
        self._mean_t, self._mean_v, self._count = numbers[2], numbers[3], int(numbers[4])
        self._slot = int(self._mean_t // self.spacing_s) if self._count else None


class MultiScaleWindow:
    """One series at all time scales."""

    def __init__(self, finest_s: float) -> None:
        fine = [finest_s]
        while fine[-1] * FACTOR < FINE_UP_TO_S:
            fine.append(fine[-1] * FACTOR)
        self.fine = tuple(Resolution(spacing_s) for spacing_s in fine)
        self.coarse = tuple(Resolution(spacing_s, points) for spacing_s, points in COARSE)

    def add_fine(self, uptime_s: float, v: float) -> Iterator[Resolution]:
        """Add a reading; return the fine resolutions with a new point, finest first."""
        return iter([resolution for resolution in self.fine if resolution.add(uptime_s, v)])

    def add_coarse(self, operating_s: float, v: float) -> Iterator[Resolution]:
        """Add a reading on the persistent clock; return the coarse resolutions with a new point."""
        return iter([resolution for resolution in self.coarse if resolution.add(operating_s, v)])

    def restart(self) -> None:
        """Clear the fine resolutions."""
        for resolution in self.fine:
            resolution.clear()

    def export_state(self) -> list[dict[str, object]]:
        """Return the coarse resolutions."""
        return [resolution.export_state() for resolution in self.coarse]

    def restore_state(self, state: object) -> None:
        """Restore exported coarse resolutions. Raises ValueError, KeyError or TypeError."""
        if not isinstance(state, list) or len(state) != len(self.coarse):
            raise ValueError("levels must be a list, one for each spacing")
        for resolution, part in zip(self.coarse, state, strict=True):
            resolution.restore_state(part)


def short(value: float | None) -> float | None:
    """Round a number to seven digits for the state: more than any trend needs."""
    return None if value is None else float(f"{value:.7g}")


def number(value: object) -> float:
    """Return a finite number from a state that may be damaged. Raises ValueError."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)
