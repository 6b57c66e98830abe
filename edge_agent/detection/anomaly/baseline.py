"""Baseline of each channel: an exponentially weighted mean, and the deviation of a few statistics.

What flows in: one row of readings at a time, by channel name. What flows out: arrays with one element per channel, in
the order in which the channels appeared. A channel takes `2 + 2 * len(statistics)` numbers, whatever its age.

The mean and the deviations have time scales of their own. Both start as plain averages, so the first rows have full
weight. Values are not clipped before learning: a baseline that ignores bursts never adapts to them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float64]

STATE_VERSION = 1
RELATIVE_FLOOR = 1e-9  # of the mean: differences below this are rounding of 64-bit numbers
TINY = 1e-150  # keeps a division by the deviation of an all-zero channel finite, and its square above zero


class Baseline:
    """Mean and deviations of a growing set of channels.

    `mean_rows` and `spread_rows` are half-lives in rows. `floor_of` gives, for a channel, the smallest
    meaningful deviation in its own unit (the resolution of its sensor); 0 if it is unknown.
    """

    def __init__(
        self,
        statistics: Sequence[str],
        *,
        mean_rows: float,
        spread_rows: float,
        floor_of: Callable[[str], float] = lambda _: 0.0,
        max_channels: int = 256,
    ) -> None:
        self._statistics = tuple(statistics)
        self._mean_weight = 1 - 0.5 ** (1 / mean_rows)
        self._spread_weight = 1 - 0.5 ** (1 / spread_rows)
        self._floor_of = floor_of
        self._max_channels = max_channels
        self._index: dict[str, int] = {}
        self.names: list[str] = []
        self.counts: Array = np.zeros(0)
        self.means: Array = np.zeros(0)
        self._squares: Array = np.zeros((len(self._statistics), 0))
        self._learned: Array = np.zeros((len(self._statistics), 0))
        self._floors: Array = np.zeros(0)

    def place(self, row: Mapping[str, float]) -> tuple[Array, int]:
        """Return the row as an array, NaN where a channel is missing, and the number of channels beyond the maximum.

        New names are appended as new channels.
        """
        new = [name for name in row if name not in self._index]
        if new:
            self._add(new[: self._max_channels - len(self.names)])
        placed = np.full(len(self.names), np.nan)
        refused = 0
        for name, value in row.items():
            place = self._index.get(name)
            if place is None:
                refused += 1
            else:
                placed[place] = value
        return placed, refused

    def deviations(self) -> Array:
        """Root mean squares of all statistics, never zero: (statistics, channels)."""
        floor = np.maximum(np.maximum(self._floors, RELATIVE_FLOOR * np.abs(self.means)), TINY)
        return np.maximum(np.sqrt(self._squares), floor)

    def learn(self, row: Array, measured: Array) -> None:
        """Learn a row and its statistics (statistics, channels), measured against the baseline before it.

        NaN is ignored.
        """
        seen = np.isfinite(row)
        known = np.isfinite(measured) & seen
        self._learned += known
        weight = np.maximum(self._spread_weight, 1 / np.maximum(self._learned, 1))
        self._squares += np.where(known, weight * (measured**2 - self._squares), 0.0)
        weight = np.maximum(self._mean_weight, 1 / (self.counts + 1))
        self.means += np.where(seen, weight * (row - self.means), 0.0)
        self.counts += seen

    def export_state(self) -> dict[str, object]:
        """Return the state as a plain dictionary of strings and finite numbers, fit for JSON."""
        columns = np.vstack([self.counts, self.means, self._squares, self._learned]).T
        return {
            "version": STATE_VERSION,
            "statistics": list(self._statistics),
            "channels": {name: columns[place].tolist() for name, place in self._index.items()},
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state in place of the present one. Raises ValueError with the reason."""
        if state.get("version") != STATE_VERSION or state.get("statistics") != list(self._statistics):
            raise ValueError("baseline: state is of another version")
        channels = state.get("channels")
        if not isinstance(channels, dict) or len(channels) > self._max_channels:
            raise ValueError(f"baseline: channels must be a mapping of at most {self._max_channels}")
        columns = _columns(channels, width=2 + 2 * len(self._statistics))
        self._index, self.names = {}, []
        self.counts, self.means, self._floors = np.zeros(0), np.zeros(0), np.zeros(0)
        self._squares = self._learned = np.zeros((len(self._statistics), 0))
        self._add([str(name) for name in channels])
        self.counts, self.means = columns[0], columns[1]
        self._squares, self._learned = np.split(columns[2:], 2)

    def _add(self, names: Sequence[str]) -> None:
        for name in names:
            self._index[name] = len(self.names)
            self.names.append(name)
        more = np.zeros(len(names))
        self.counts = np.append(self.counts, more)
        self.means = np.append(self.means, more)
        block = np.zeros((len(self._statistics), len(names)))
        self._squares = np.hstack([self._squares, block])
        self._learned = np.hstack([self._learned, block])
        self._floors = np.append(self._floors, [max(0.0, self._floor_of(name)) for name in names])


def _columns(channels: Mapping[object, object], width: int) -> Array:
    """Return counts, means and squares as rows of one array; ValueError if a channel's numbers are impossible."""
    try:
        columns = np.array(list(channels.values()), np.float64).reshape(len(channels), width).T.copy()
    except (TypeError, ValueError):
        raise ValueError(f"baseline: each channel must hold {width} numbers") from None
    if not np.isfinite(columns).all() or (columns[0] < 0).any() or (columns[2:] < 0).any():
        raise ValueError("baseline: counts and squares must be finite and not negative")
    return columns
