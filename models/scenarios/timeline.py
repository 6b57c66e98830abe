"""The sampling times of a scenario: boots, time off, and spans that are sampled more often.

What flows in: a duration, a period, dense spans, reboots. What flows out: for each sample the seconds since the start
of the scenario, the number of its boot, and the uptime; and the `Instant` that a device would read.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from edge_agent.protocol.instant import Instant

Array = npt.NDArray[np.float64]

HOUR_S = 3600.0
DAY_S = 86_400.0
_MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
_FIRST_SAMPLE_S = 5.0  # of uptime: the agent starts soon after the kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A part of a scenario, in seconds since its start."""

    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reboot:
    """The device is off from `begin_s` to `end_s`, when the kernel starts again."""

    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All samples in order: `t_s` rises strictly; `boot` counts the boots; `midnight_s` is the time of day at 0."""

    period_s: float
    t_s: Array
    boot: npt.NDArray[np.int64]
    uptime_s: Array
    midnight_s: float
    name: str

    def instant(self, place: int) -> Instant:
        """Return the instant of a sample. The clock is synchronised from half a minute after boot on."""
        wall = _MONDAY + timedelta(seconds=self.midnight_s + float(self.t_s[place]))
        uptime_s = float(self.uptime_s[place])
        boot_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.name}/{self.boot[place]}"))
        return Instant(boot_id=boot_id, uptime_s=uptime_s, wall=wall, synced=uptime_s >= 30.0)

    def of_day_s(self) -> Array:
        """Return the time of day of each sample, in seconds after midnight."""
        return np.asarray((self.midnight_s + self.t_s) % DAY_S)

    def at(self, day: int, hour: float) -> float:
        """Return the seconds since the start at an hour of a day; day 0 is the one in which the scenario starts."""
        return day * DAY_S + hour * HOUR_S - self.midnight_s

    def elapsed_s(self) -> Array:
        """Return the time since the previous sample of the same boot; after a boot, since the boot; 0 at first."""
        elapsed = np.diff(self.t_s, prepend=self.t_s[0])
        booted = np.diff(self.boot, prepend=self.boot[0]) > 0
        return np.where(booted, self.uptime_s, elapsed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a scenario is sampled: every `period_s`, and every `dense_period_s` within the dense spans."""

    duration_s: float
    period_s: float | None = None  # by default as `sampling_period_s` chooses; with dense spans 60
    dense: Sequence[Span] = ()
    dense_period_s: float = 10.0
    reboots: Sequence[Reboot] = ()
    midnight_s: float = 0.0
    uptime_s: float = 10 * DAY_S  # at the start


def sampling_period_s(duration_s: float) -> float:
    """Return the period for a scenario without dense spans: a minute, and two for those of more than three days."""
    return 60.0 if duration_s <= 3 * DAY_S else 120.0


def sampled(sampling: Sampling, name: str) -> Timeline:
    """Return the samples; `name` makes the ids of the boots unique."""
    period_s = sampling.period_s or (60.0 if sampling.dense else sampling_period_s(sampling.duration_s))
    t_s = _times(sampling, period_s)
    booted_s = np.array([-sampling.uptime_s, *(reboot.end_s for reboot in sampling.reboots)])
    boot = np.searchsorted(booted_s, t_s - _FIRST_SAMPLE_S, side="right") - 1
    return Timeline(
        period_s=sampling.dense_period_s if sampling.dense else period_s,
        t_s=t_s,
        boot=boot.astype(np.int64),
        uptime_s=t_s - booted_s[boot],
        midnight_s=sampling.midnight_s,
        name=name,
    )


def _times(sampling: Sampling, period_s: float) -> Array:
    times = np.arange(0.0, sampling.duration_s, period_s)
    for span in sampling.dense:
        inside = np.arange(max(0.0, span.begin_s), min(span.end_s, sampling.duration_s), sampling.dense_period_s)
        times = np.concatenate([times[(times < span.begin_s) | (times >= span.end_s)], inside])
    times = np.unique(times)
    for reboot in sampling.reboots:
        times = times[(times < reboot.begin_s) | (times >= reboot.end_s + _FIRST_SAMPLE_S)]
    return np.asarray(times)
