"""Trends: how long until something that has a limit reaches it, with an interval; silent unless that is useful.

What flows in: the headroom of each watched thing (what is left until its limit) at each sample. What flows out: a
verdict for each thing that is steadily on its way to zero.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.detection.windows import POINTS, Array, Ladder, Level
from edge_agent.protocol.metrics import metric_of, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Impact, Line, Threshold
from edge_agent.protocol.wording import amount, duration

# Points looked at in each level: the spans of all windows grow by less than threefold from one to the next.
WINDOWS = (22, 36, POINTS)
PATIENCE = 2.0  # a trend must have been watched for half of the time it is extrapolated by
MAX_SPREAD = 3.0  # an interval whose ends are further apart than this factor helps nobody
USED_UP = 0.01  # share of the whole: below it the limit counts as reached
ROOMY = 0.05  # share of the whole that must have been seen once, for the end of it to be a fault
FORGET_AFTER_S = 4 * 3600.0
_Z_95 = 1.96


@dataclass(frozen=True, slots=True)
class Slope:
    """A robust slope: change per second with its 95 % interval."""

    per_s: float
    low_per_s: float
    high_per_s: float


def theil_sen(t: Array, v: Array) -> Slope:
    """Median of all pairwise slopes, interval by Sen's method from Kendall's variance.

    `t` rises strictly, both have n >= 3 points. Source: P. K. Sen, J. Am. Stat. Assoc. 63 (1968), 1379-1389.
    """
    n = len(t)
    first, second = np.triu_indices(n, 1)
    slopes = np.sort((v[second] - v[first]) / (t[second] - t[first]))
    spread = _Z_95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, int((len(slopes) - spread) / 2))
    high = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[high]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Something with a limit. `headroom` in the metric's unit falls to 0 where the customer notices."""

    fault: str
    component: str
    series: str
    headroom: float
    total: float | None
    rising: bool  # the series itself rises towards its limit (open files), instead of falling (free bytes)
    min_span_s: float
    meaning: str


def watches(values: Mapping[str, float]) -> Iterator[Watch]:
    """Find everything in a sample that has a limit."""
    for series, value in values.items():
        name = series_name(series)
        if name in _FREE and series.endswith("state=free}"):
            fault, min_span_s, meaning = _FREE[name]
            used = values.get(series.replace("state=free}", "state=used}"))
            mountpoint = series_attributes(series)["system.filesystem.mountpoint"]
            total = None if used is None else value + used
            yield Watch(
                fault=fault, component=mountpoint, series=series, headroom=value, total=total, rising=False,
                min_span_s=min_span_s, meaning=meaning,
            )  # fmt: skip
    if (available := values.get("system.linux.memory.available")) is not None:
        yield Watch(
            fault="memory.leak", component="memory", series="system.linux.memory.available", headroom=available,
            total=values.get("system.memory.limit"), rising=False, min_span_s=160.0, meaning="no memory left",
        )  # fmt: skip
    yield from _file_watches(values)


# Free bytes are watched from 20 s on, since a full disk can be a minute away. Memory rises with every program that
# starts: three minutes tell a leak from that. Inodes are in between.
_FREE = {
    "system.filesystem.usage": ("disk.filling", 20.0, "full"),
    "system.filesystem.inodes.usage": ("inodes.filling", 60.0, "no inodes left"),
}


def _file_watches(values: Mapping[str, float]) -> Iterator[Watch]:
    used, limit = (values.get(f"forewarn.file_descriptor.{what}") for what in ("usage", "limit"))
    if used is not None and limit is not None:
        yield Watch(
            fault="fd.leak", component="system", series="forewarn.file_descriptor.usage", headroom=limit - used,
            total=limit, rising=True, min_span_s=60.0, meaning="no more open files",
        )  # fmt: skip
    share = values.get("forewarn.process.file_descriptor.utilization")
    if share is not None:
        yield Watch(
            fault="fd.leak", component="process", series="forewarn.process.file_descriptor.utilization",
            headroom=1 - share, total=1.0, rising=True, min_span_s=160.0, meaning="the process's own limit",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Standing:
    """A window's verdict, when it was judged, and the headroom that refutes it: what there was when it began."""

    verdict: Verdict
    judged_at_s: float
    given_back: float

    def at(self, uptime_s: float) -> Verdict:
        """Return the verdict with its time to impact counted from now."""
        passed_s, impact = uptime_s - self.judged_at_s, self.verdict.impact
        if impact is None or not passed_s:
            return self.verdict
        low_s, likely_s, high_s = (max(0.0, end - passed_s) for end in (impact.low_s, impact.likely_s, impact.high_s))
        return replace(self.verdict, impact=Impact(low_s=low_s, likely_s=likely_s, high_s=high_s))


@dataclass(slots=True)
class Trends:
    """Keeps a ladder of windows for each watched thing, and the latest verdict of each of its windows."""

    period_s: float
    horizon_s: float
    _ladders: dict[tuple[str, str], Ladder] = field(default_factory=dict)
    _standing: dict[tuple[str, str], dict[tuple[float, int], _Standing]] = field(default_factory=dict)
    _roomy: set[tuple[str, str]] = field(default_factory=set)
    _seen_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _tidy_at_s: float = 0.0

    def step(self, values: Mapping[str, float], uptime_s: float) -> list[Verdict]:
        """Return the nearest impact of each watched thing that is on its way to its limit."""
        verdicts = []
        for watch in watches(values):
            key = (watch.fault, watch.component)
            self._seen_s[key] = uptime_s
            standing = self._standing.setdefault(key, {})
            for level in self._ladders.setdefault(key, Ladder(self.period_s)).add(uptime_s, watch.headroom):
                for points in WINDOWS:
                    standing.pop((level.spacing_s, points), None)
                    if verdict := _judge(watch, level, points, self.horizon_s):
                        standing[level.spacing_s, points] = _Standing(verdict, uptime_s, level.last(points)[1][0])
            for window in [window for window, held in standing.items() if watch.headroom >= held.given_back]:
                del standing[window]  # all that was lost in this window is back: it has recovered
            if self._is_used_up(key, watch):
                verdicts.append(_used_up(watch))
            elif standing:
                verdicts.append(min((held.at(uptime_s) for held in standing.values()), key=_likely_s))
        if uptime_s >= self._tidy_at_s:
            self._tidy(uptime_s)
        return verdicts

    def _tidy(self, uptime_s: float) -> None:
        """Forget what has not been there for hours: containers come and go with file systems of their own."""
        self._tidy_at_s = uptime_s + FORGET_AFTER_S
        for key in [key for key, seen_s in self._seen_s.items() if uptime_s - seen_s > FORGET_AFTER_S]:
            del self._seen_s[key], self._ladders[key], self._standing[key]
            self._roomy.discard(key)

    def resume(self, fault: str, component: str) -> None:
        """Take up a fault that stood when the agent stopped: what is used up now was not always so."""
        self._roomy.add((fault, component))

    def _is_used_up(self, key: tuple[str, str], watch: Watch) -> bool:
        """Say whether it has reached its limit. What has always been full (an image, a fixed pool) is meant to be."""
        if not watch.total:
            return False
        if watch.headroom >= ROOMY * watch.total:
            self._roomy.add(key)
        return watch.headroom <= USED_UP * watch.total and key in self._roomy


def _likely_s(verdict: Verdict) -> float:
    return verdict.impact.likely_s if verdict.impact else math.inf


def _judge(watch: Watch, level: Level, points: int, horizon_s: float) -> Verdict | None:
    """Judge one window of a watched thing; None unless the trend is steady, near enough and narrow enough."""
    if len(level) < points:
        return None
    span_s, fall = level.falls_by(points)
    if span_s < watch.min_span_s or fall <= 0 or watch.headroom > 2 * PATIENCE * fall:
        return None  # cheap: far from PATIENCE even if the fit came out twice as steep as the end points
    t, v = level.last(points)
    slope = theil_sen(t, v)
    if not _steady(t, v, slope) or slope.high_per_s >= 0:
        return None
    low_s, likely_s, high_s = (watch.headroom / -rate for rate in (slope.low_per_s, slope.per_s, slope.high_per_s))
    if likely_s > min(horizon_s, PATIENCE * span_s) or high_s > MAX_SPREAD * low_s:
        return None
    impact = Impact(low_s=low_s, likely_s=likely_s, high_s=high_s)
    return _verdict(watch, slope, impact, (t, v))


def _steady(t: Array, v: Array, slope: Slope) -> bool:
    """Say whether every third of the window falls, and the last one at least a third as fast as the whole.

    One big step, a sawtooth (log rotation, garbage collection) and a rise that has ended all fail here.
    """
    third = len(t) // 3
    rates = [(v[end] - v[start]) / (t[end] - t[start]) for start, end in ((0, third), (third, 2 * third), (-third, -1))]
    return bool(max(rates) < 0 and rates[-1] <= slope.per_s / 3)


def _used_up(watch: Watch) -> Verdict:
    """The limit has been reached: the customer notices now, for as long as it lasts."""
    unit, value = metric_of(watch.series).unit, (watch.total or 0.0) - watch.headroom
    return Verdict(
        fault=watch.fault,
        component=watch.component,
        confidence=1.0,
        reason=f"{amount(watch.headroom, unit)} left of {amount(watch.total or 0.0, unit)}: {watch.meaning}",
        impact=Impact(low_s=0.0, likely_s=0.0, high_s=0.0),
        carriers=(Carrier(metric=watch.series, value=value if watch.rising else watch.headroom, unit=unit, share=1.0),),
        basis=Basis(judged=(watch.series,), threshold=_threshold(watch)),
    )


def _threshold(watch: Watch) -> Threshold:
    """Where the series itself is when nothing is left."""
    limit = (watch.total or 0.0) if watch.rising else 0.0
    return Threshold(metric=watch.series, value=limit, meaning=watch.meaning)


def _verdict(watch: Watch, slope: Slope, impact: Impact, window: tuple[Array, Array]) -> Verdict:
    sign, limit = (-1.0, watch.total or 0.0) if watch.rising else (1.0, 0.0)  # series = limit + sign * headroom
    unit = metric_of(watch.series).unit
    watched_s = float(window[0][-1] - window[0][0])
    times, each = (60, "a minute") if watched_s < 1800 else (3600, "an hour")
    spread = (impact.high_s - impact.low_s) / max(impact.likely_s, 1e-9)
    return Verdict(
        fault=watch.fault,
        component=watch.component,
        confidence=max(0.5, 1 - spread / 2),
        reason=(
            f"{amount(watch.headroom, unit)} left, {amount(abs(slope.per_s) * times, unit)} less {each} "
            f"for {duration(watched_s)}: {watch.meaning} in {interval(impact)}"
        ),
        impact=impact,
        carriers=(
            Carrier(metric=watch.series, value=limit + sign * watch.headroom, unit=unit, share=1.0),
        ),
        basis=Basis(
            judged=(watch.series,),
            threshold=_threshold(watch),
            line=Line(
                metric=watch.series,
                value_at_detection=limit + sign * watch.headroom,
                slope_per_s=sign * slope.per_s,
            ),
            window=(window[0], limit + sign * window[1]),
        ),
    )  # fmt: skip


def interval(impact: Impact) -> str:
    """Write the time to impact with its interval, which is left out where it reads the same."""
    low, likely, high = (duration(seconds) for seconds in (impact.low_s, impact.likely_s, impact.high_s))
    return likely if low == high else f"{likely} ({low} to {high})"
