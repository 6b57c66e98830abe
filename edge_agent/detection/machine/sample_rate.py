"""The rate at which samples of a machine come: its statistics count seconds, so that it is evaluated at 1 Hz only.

What flows in: the uptime of each sample. What flows out: whether the sample counts, and whether the windows start anew.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

GAP_S = 5.0  # without samples: the windows start anew
SOONEST_S = 0.75  # samples that come sooner are left out
LATEST_S = 1.5  # mean between samples from which a machine is not evaluated
AGAIN_S = 1.25  # mean from which it is evaluated again
_MEAN_SAMPLES = 30.0
_NAMED_SAMPLES = 5  # whose median is the rate that people read


class Timing(Enum):
    """What a sample is good for."""

    TOO_SOON = "left out: the second has a sample already"
    IN_TIME = "evaluated"
    TOO_SLOW = "not evaluated: samples come at another rate"


@dataclass(slots=True)
class SampleRate:
    """The rate of one machine. A single gap, as after a suspend, is no rate: it counts GAP_S at most."""

    restarts: bool = False  # after the last sample: a gap, or the end of another rate
    changed: bool = False  # between evaluated and not evaluated, with the last sample
    _too_slow: bool = False
    _mean_s: float = 1.0
    _last_s: float | None = None
    _latest: deque[float] = field(default_factory=lambda: deque(maxlen=_NAMED_SAMPLES))

    def step(self, now_s: float) -> Timing:
        """Take the uptime of a sample; return what it is good for."""
        passed_s = 1.0 if self._last_s is None else now_s - self._last_s
        self.restarts = self.changed = False
        if passed_s < SOONEST_S:
            return Timing.TOO_SOON
        self._last_s = now_s
        self._latest.append(passed_s)
        self._mean_s += (min(passed_s, GAP_S) - self._mean_s) / _MEAN_SAMPLES
        too_slow = self._mean_s >= (AGAIN_S if self._too_slow else LATEST_S)
        self.changed, self._too_slow = too_slow != self._too_slow, too_slow
        self.restarts = passed_s > GAP_S or self.changed
        return Timing.TOO_SLOW if too_slow else Timing.IN_TIME

    @property
    def every_s(self) -> float:
        """Seconds between the latest samples, their median."""
        return sorted(self._latest)[len(self._latest) // 2]
