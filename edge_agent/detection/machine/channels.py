"""The channels of one machine: turns the readings of a second into a row, and notices channels that misbehave.

What flows in: `{series: value}` of one second. What flows out: a row of finite values (channels,), which of them are
present, and a line for each channel that vanished or came back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_agent.detection.machine.statistics import LONGEST_S, Array

GONE_S = 10  # without a reading; until then the last one counts
BACK_S = LONGEST_S  # with readings, until its windows hold nothing older
LARGEST = 1e30  # readings beyond are a driver's mark for none (FLT_MAX), and would overflow the sums
LEAST_READINGS = 20  # to say at which rate a channel changes
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Channels:
    """Reads the channels of a machine in a fixed order."""

    machine: str
    names: tuple[str, ...]
    remarks: list[str] = field(default_factory=list)
    restarts: bool = False  # with the last second: all channels had vanished, and the first are back
    _last: Array = field(init=False)
    _missing_s: npt.NDArray[np.int64] = field(init=False)
    _back_s: npt.NDArray[np.int64] = field(init=False)
    _present: Mask = field(init=False)
    _reported: Mask = field(init=False)  # as missing, and not as back yet

    def __post_init__(self) -> None:
        self._last = np.full(len(self.names), np.nan)
        self._missing_s = np.zeros(len(self.names), np.int64)
        self._back_s = np.zeros(len(self.names), np.int64)
        self._present = np.ones(len(self.names), np.bool_)
        self._reported = np.zeros(len(self.names), np.bool_)

    @property
    def silent(self) -> bool:
        """Whether the last second had no reading of any channel: its program has stopped."""
        return bool((self._missing_s > 0).all())

    @property
    def read(self) -> Mask:
        """Which channels had a reading in the last second."""
        read: Mask = self._missing_s == 0
        return read

    def step(self, values: Mapping[str, float]) -> tuple[Array, Mask] | None:
        """Return the row and which channels are present; None until every channel has been read once."""
        read = np.array([values.get(name, np.nan) for name in self.names])
        here = np.abs(read) <= LARGEST  # false for NaN
        self.restarts = not self._present.any() and bool(here.any())
        if self.restarts:
            self._present = here.copy()  # the windows start anew: they hold nothing older
        if here.all() and self._present.all() and not self._reported.any():
            self._last = read
            self._missing_s[:] = 0
            return read, self._present
        self._last = np.where(here, read, self._last)
        self._missing_s = np.where(here, 0, self._missing_s + 1)
        self._back_s = np.where(here, self._back_s + 1, 0)
        self._notice()
        if self._never_read():
            return None
        return self._last, self._present.copy()

    def _notice(self) -> None:
        for place, name in enumerate(self.names):
            if self._present[place] and self._missing_s[place] == GONE_S:
                self._present[place] = False
                self._report_missing(place)
            elif (self._reported[place] or not self._present[place]) and self._back_s[place] == BACK_S:
                self._present[place], self._reported[place] = True, False
                self.remarks.append(f"machine {self.machine}: channel {name} is back")

    def _report_missing(self, place: int) -> None:
        """Report a missing channel once, until it is back for two minutes: one that comes and goes fills no log."""
        left = int(self._present.sum())
        evaluated = f"evaluated by the other {left}" if left else "not evaluated"
        if not self._reported[place]:
            self.remarks.append(
                f"machine {self.machine}: channel {self.names[place]} has had no reading for {GONE_S} s; "
                f"the machine is {evaluated}"
            )
        self._reported[place] = True

    def _never_read(self) -> bool:
        """Return whether a channel has no reading yet; one that has vanished before its first counts as zero."""
        unread = np.isnan(self._last)
        if (unread & self._present).any():
            return True
        self._last = np.where(unread, 0.0, self._last)
        return False


def filled(readings: Array) -> Array:
    """Return rows (n, channels) with each missing reading (NaN) replaced by the one before, a first one by the next."""
    known = ~np.isnan(readings)
    places = np.where(known, np.arange(len(readings))[:, np.newaxis], known.argmax(axis=0))
    found: Array = np.take_along_axis(readings, np.maximum.accumulate(places, axis=0), axis=0)
    return found


def seconds_between_changes(readings: Array) -> float:
    """Return how far apart the changes of one channel (n,) are at least: 1 for one that is read every second."""
    changes = np.flatnonzero(np.diff(readings) != 0.0)
    if len(changes) < LEAST_READINGS:
        return 1.0
    return float(np.partition(np.diff(changes), len(changes) // 20)[len(changes) // 20])
