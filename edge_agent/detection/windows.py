"""Windows over one series at several time scales, in a few kilobytes: the finest has seconds, the coarsest days."""

from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

POINTS = 64  # in each level
FACTOR = 8  # between the spacing of one level and the next
LEVELS = 5  # at 1 Hz: 64 s, 8.5 min, 68 min, 9 h, 3 days


class Level:
    """The last points of a series at one spacing; each point is the mean of what fell into its slot."""

    def __init__(self, spacing_s: float) -> None:
        self.spacing_s = spacing_s
        self._t: deque[float] = deque(maxlen=POINTS)
        self._v: deque[float] = deque(maxlen=POINTS)
        self._slot: int | None = None
        self._sum_t = self._sum_v = 0.0
        self._count = 0

    def add(self, t: float, v: float) -> bool:
        """Take a reading; say whether it completed a point."""
        slot = int(t // self.spacing_s)
        completed = self._slot is not None and slot != self._slot
        if completed:
            self._t.append(self._sum_t / self._count)
            self._v.append(self._sum_v / self._count)
        if completed or self._slot is None:
            self._slot, self._sum_t, self._sum_v, self._count = slot, 0.0, 0.0, 0
        self._sum_t += t
        self._sum_v += v
        self._count += 1
        return completed

    def __len__(self) -> int:
        return len(self._t)

    def falls_by(self, points: int) -> tuple[float, float]:
        """Return (seconds, fall) between the first and the last of the latest `points`, without making arrays."""
        return self._t[-1] - self._t[-points], self._v[-points] - self._v[-1]

    def last(self, points: int) -> tuple[Array, Array]:
        """Return times and values of the latest `points`, oldest first."""
        return np.array(self._t)[-points:], np.array(self._v)[-points:]


class Ladder:
    """One series at all time scales."""

    def __init__(self, finest_s: float) -> None:
        self.levels = tuple(Level(finest_s * FACTOR**step) for step in range(LEVELS))

    def add(self, t: float, v: float) -> Iterator[Level]:
        """Take a reading of uptime `t`; yield the levels that have a new point, finest first."""
        return iter([level for level in self.levels if level.add(t, v)])
