"""Statistics of a machine's channels over the last seconds: level, spread, and how much they change.

What flows in: a row (channels,) a second. What flows out: an array (STATISTICS, channels) in the channels' own units:
means over 10 and 20 s, standard deviation over 30 s, and root mean squares of the differences at lags of 1, 3 and 8 s
over two minutes. Until a window is full, what is missing of it counts as the first row.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

LEVELS_S = (10, 20)
SPREAD_S = 30
LAGS_S = (1, 3, 8)
CHANGES_S = 120
LONGEST_S = CHANGES_S + max(LAGS_S)
STATISTICS = len(LEVELS_S) + 1 + len(LAGS_S)

_WINDOWS = np.array([*LEVELS_S, SPREAD_S])
_LAGS = np.array(LAGS_S)


class RollingStatistics:
    """Running sums over a ring of the last LONGEST_S rows; a step costs the same whatever the windows."""

    def __init__(self, first: Array) -> None:
        """`first` is the row that sums are counted from, so that large levels lose no digits."""
        channels = len(first)
        self._origin = first.copy()
        self._rows = np.zeros((LONGEST_S, channels))
        self._squared_changes = np.zeros((LONGEST_S, len(LAGS_S), channels))
        self._sums = np.zeros((len(_WINDOWS), channels))
        self._squares = np.zeros(channels)
        self._changes = np.zeros((len(LAGS_S), channels))
        self._step = 0

    def step(self, row: Array) -> Array:
        """Add one row of finite values; return the statistics (STATISTICS, channels)."""
        place = self._step % LONGEST_S
        if place == 0:
            self._sum_again()
        value = row - self._origin
        leaving = self._rows[(place - _WINDOWS) % LONGEST_S]
        change = (value - self._rows[(place - _LAGS) % LONGEST_S]) ** 2
        change[self._step < _LAGS] = 0.0
        self._sums += value - leaving
        self._squares += value * value - leaving[-1] ** 2
        self._changes += change - self._squared_changes[(place - CHANGES_S) % LONGEST_S]
        self._rows[place], self._squared_changes[place] = value, change
        self._step += 1
        return self._statistics()

    def _statistics(self) -> Array:
        means = self._sums / _WINDOWS[:, np.newaxis]
        variance = self._squares / SPREAD_S - means[-1] ** 2
        found = np.empty((STATISTICS, len(self._origin)))
        found[: len(LEVELS_S)] = means[:-1] + self._origin
        found[len(LEVELS_S)] = variance
        found[len(LEVELS_S) + 1 :] = self._changes / CHANGES_S
        found[len(LEVELS_S) :] = np.sqrt(np.maximum(found[len(LEVELS_S) :], 0.0))
        return found

    def _sum_again(self) -> None:
        """Sum up the windows from the ring once a round, so that rounding errors do not add up."""
        self._sums = np.stack([self._rows[-window:].sum(axis=0) for window in _WINDOWS])
        self._squares = (self._rows[-SPREAD_S:] ** 2).sum(axis=0)
        self._changes = self._squared_changes[-CHANGES_S:].sum(axis=0)


def statistics_of(rows: Array) -> Array:
    """Return the statistics of each of the rows (n, channels), as (n, STATISTICS, channels)."""
    rolling = RollingStatistics(rows[0])
    found = np.empty((len(rows), STATISTICS, rows.shape[1]))
    for number, row in enumerate(rows):
        found[number] = rolling.step(row)
    return found


class EqualRuns:
    """How many readings in a row have been equal to the one before, for each channel."""

    def __init__(self, channels: int) -> None:
        self._last: Array = np.full(channels, np.nan)
        self.lengths = np.zeros(channels)

    def step(self, row: Array) -> Array:
        """Count one row; return the lengths (channels,)."""
        self.lengths = np.where(row == self._last, self.lengths + 1.0, 0.0)
        self._last = row
        return self.lengths


def longest_equal_runs(rows: Array) -> Array:
    """Return the longest run of equal readings of each channel (channels,) in rows (n, channels)."""
    runs, longest = EqualRuns(rows.shape[1]), np.zeros(rows.shape[1])
    for row in rows:
        longest = np.maximum(longest, runs.step(row))
    return longest
