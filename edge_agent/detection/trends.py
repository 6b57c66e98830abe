"""Trends: how long until something that has a limit reaches it, with an interval; silent unless that is useful.

What flows in: samples of features, with their instant. What flows out: a verdict for each watched thing that is
steadily on its way to its limit.

    sample ─> watches (headroom of each thing) ─> ladder of windows ─> robust line ─> steady, near, narrow? ─> verdict
                                                └> habit: a low it has come back from by itself ─> no word

Fine windows live on the uptime and start anew at boot and after a suspend; coarse ones live on the device's life.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edge_agent.detection.habits import CLOSE_CALL, KEPT_S, Habit
from edge_agent.detection.life import Life
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.detection.watches import Watch, watches
from edge_agent.detection.windows import Array, Ladder, Level, number
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import metric_of
from edge_agent.protocol.records import Carrier, Impact, Line, Threshold
from edge_agent.protocol.wording import amount, duration

STATE_VERSION = 1
# Points looked at in each level. A trend is said by the first window that has watched it for half of what is left, so
# the closer they lie, the earlier: from 22 and 36 points alone, a fill of 15 min is said half a minute later.
WINDOWS = (22, 25, 29, 33, 38, 43, 49, 56, 64)
COARSE_WINDOWS = (
    6,
    8,
    10,
    12,
    14,
    17,
    22,
    27,
    32,
    45,
    64,
)  # six days tell a slow drift; six hours are watched by the finer level already
LEAST_COARSE_S = 10 * 3600.0
SETTLE_S = 180.0  # after boot and resume programs start, caches fill and clocks step: nothing of that is a trend
JUMP_S = 120.0  # between two samples: a suspend, or as good as one
PATIENCE = 2.0  # a trend must have been watched for half of the time it is extrapolated by
MAX_SPREAD = 3.0  # an interval whose ends are further apart than this factor helps nobody
FURTHEST_S = 30 * 86_400.0  # what is further away than the horizon is noted for information, up to here
GIVEN_BACK = 0.5  # of what a window lost: when it is back, the trend is over
USED_UP = 0.01  # share of the whole: below it the limit counts as reached
ROOMY = CLOSE_CALL  # share of the whole that must have been seen once, for the end of it to be a fault
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


@dataclass(frozen=True, slots=True)
class _Standing:
    """A window's verdict, when it was judged, and the headroom that refutes it."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Times:
    """The instant of a sample on both clocks, whether the device has settled, and how far ahead to look."""

    uptime_s: float
    life_s: float
    settled: bool
    furthest_s: float


@dataclass(slots=True)
class _Course:
    """One watched thing: its windows, what each of them says, its habit, and whether it ever had room."""

    ladder: Ladder
    habit: Habit = field(default_factory=Habit)
    roomy: bool = False
    most: float = 0.0
    restored: bool = False
    rebooted: bool = False
    seen_s: float = 0.0
    standing: dict[tuple[float, int], _Standing] = field(default_factory=dict)

    def step(self, watch: Watch, times: _Times) -> Verdict | None:
        """Take a reading; return the nearest impact that any window sees."""
        self.seen_s = times.life_s
        self.most = max(self.most, watch.total or watch.headroom)
        if self.rebooted and not watch.outlives_boot:
            self.habit.restart()
        self.rebooted = False
        self.habit.add(watch.headroom, self.most, times.life_s)
        known = not self.standing and self.habit.knows(watch.headroom)
        for level in self._moved(watch, times):
            coarse = level in self.ladder.coarse
            for points in COARSE_WINDOWS if coarse else WINDOWS:
                if not known and points <= len(level):  # a window that is filling again keeps its last word
                    self._judge(watch, level, points, times, times.life_s if coarse else times.uptime_s)
        for window in [window for window, held in self.standing.items() if watch.headroom >= held.given_back]:
            del self.standing[window]
        if self._is_used_up(watch):
            return _used_up(watch)
        return min((held.at(times.uptime_s) for held in self.standing.values()), key=_likely_s, default=None)

    def _moved(self, watch: Watch, times: _Times) -> list[Level]:
        """Feed the windows; return the levels with a new point, and all coarse ones right after a restart."""
        moved = list(self.ladder.add_fine(times.uptime_s, watch.headroom)) if times.settled else []
        coarse = list(self.ladder.add_coarse(times.life_s, watch.headroom))
        if self.restored:
            self.restored, coarse = False, list(self.ladder.coarse)
        return moved + coarse

    def _judge(self, watch: Watch, level: Level, points: int, times: _Times, now_s: float) -> None:
        """Judge one window; `now_s` is this instant on the level's own clock."""
        window = (level.spacing_s, points)
        self.standing.pop(window, None)
        if level in self.ladder.coarse and points * level.spacing_s < LEAST_COARSE_S:
            return
        if verdict := _judge(watch, level, points, times.furthest_s, times.uptime_s - now_s):
            (_, fall), (_, newest) = level.falls_by(points), level.last(1)
            self.standing[window] = _Standing(verdict, times.uptime_s, float(newest[0]) + GIVEN_BACK * fall)

    def start_anew(self, stood_still_s: float) -> None:
        """Forget the fine windows, not what they said: it goes on from where it stood still."""
        self.ladder.start_anew()
        for window, held in self.standing.items():
            self.standing[window] = replace(held, judged_at_s=held.judged_at_s + stood_still_s)

    def _is_used_up(self, watch: Watch) -> bool:
        """Say whether it has reached its limit. What has always been full (an image, a fixed pool) is meant to be."""
        if not watch.total:
            return False
        self.roomy = self.roomy or watch.headroom >= ROOMY * watch.total
        return self.roomy and watch.headroom <= USED_UP * watch.total

    def export_state(self) -> dict[str, object]:
        """Return what outlives a reboot."""
        return {
            "levels": self.ladder.export_state(),
            "habit": self.habit.export_state(),
            "roomy": self.roomy,
            "seen_s": round(self.seen_s),
        }


class Trends:
    """Keeps the course of each watched thing, on both clocks."""

    def __init__(self, period_s: float, horizon_s: float) -> None:
        """`horizon_s`: how far ahead a trend may warn; what is further away is for information."""
        self._period_s, self._horizon_s = period_s, horizon_s
        self._jump_s = max(JUMP_S, 3 * period_s)
        self._courses: dict[tuple[str, str], _Course] = {}
        self._life = Life()
        self._last: Instant | None = None
        self._settled_at_s = SETTLE_S

    def step(self, values: Mapping[str, float], now: Instant) -> list[Verdict]:
        """Return the nearest impact of each watched thing that is on its way to its limit."""
        if self._goes_back(now):
            return []
        self._notice_jump(now)
        times = _Times(
            uptime_s=now.uptime_s,
            life_s=self._life.at(now),
            settled=now.uptime_s >= self._settled_at_s,
            furthest_s=max(FURTHEST_S, self._horizon_s),
        )
        verdicts = (self._course(watch.fault, watch.component).step(watch, times) for watch in watches(values))
        return [self._graded(verdict) for verdict in verdicts if verdict]

    def resume(self, fault: str, component: str) -> None:
        """Take up a fault that stood when the agent stopped: what is used up now was not always so."""
        self._course(fault, component).roomy = True

    def export_state(self) -> dict[str, object]:
        """Return what outlives a reboot, some hundred bytes for each watched thing, fit for JSON."""
        kept = {key: course for key, course in self._courses.items() if self._life.last_s - course.seen_s < KEPT_S}
        courses = [[*key, course.export_state()] for key, course in kept.items()]
        return {"version": STATE_VERSION, "life": self._life.export_state(), "courses": courses}

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Take up an exported state. Raises ValueError with what is wrong, and then has changed nothing."""
        if state.get("version") != STATE_VERSION:
            raise ValueError("trends: state is of another version")
        life, courses = state.get("life"), state.get("courses")
        if not isinstance(life, dict) or not isinstance(courses, list):
            raise ValueError("trends: life must be a mapping, and courses a list")
        try:
            restored = {(str(fault), str(thing)): self._restored(course) for fault, thing, course in courses}
            self._life = Life.restored(life)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"trends: {error!r}") from None
        self._courses, self._last = restored, None

    def _restored(self, state: Mapping[str, object]) -> _Course:
        habit = Habit.restored(state.get("habit"))
        seen_s = number(state.get("seen_s"))
        course = _Course(Ladder(self._period_s), habit, roomy=bool(state.get("roomy")), restored=True, seen_s=seen_s)
        course.ladder.restore_state(state.get("levels"))
        return course

    def _course(self, fault: str, component: str) -> _Course:
        key = (fault, component)
        if key not in self._courses:
            self._courses[key] = _Course(Ladder(self._period_s))
        return self._courses[key]

    def _goes_back(self, now: Instant) -> bool:
        return self._last is not None and now.boot_id == self._last.boot_id and now.uptime_s <= self._last.uptime_s

    def _notice_jump(self, now: Instant) -> None:
        """Let the fine windows start anew after another boot or a suspend."""
        last, self._last = self._last, now
        rebooted = now.boot_id != self._life.boot_id
        if rebooted:
            self._settled_at_s = SETTLE_S
        elif last is not None and now.uptime_s - last.uptime_s > self._jump_s:
            self._settled_at_s = now.uptime_s + SETTLE_S
        else:
            return
        for course in self._courses.values():
            course.start_anew(now.uptime_s - last.uptime_s if last else 0.0)
            course.rebooted = course.rebooted or rebooted

    def _graded(self, verdict: Verdict) -> Verdict:
        """What nobody will notice within the horizon opens no case yet."""
        return replace(verdict, severity=Severity.INFO) if _likely_s(verdict) > self._horizon_s else verdict


def _likely_s(verdict: Verdict) -> float:
    return verdict.impact.likely_s if verdict.impact else math.inf


def _judge(watch: Watch, level: Level, points: int, furthest_s: float, to_uptime_s: float) -> Verdict | None:
    """Judge one window of a watched thing; None unless the trend is steady, near enough and narrow enough.

    `to_uptime_s` is added to the window's times to make them this boot's uptime.
    """
    span_s, fall = level.falls_by(points)
    if span_s < watch.min_span_s or fall <= 0 or watch.headroom > 2 * PATIENCE * fall:
        return None  # cheap: far from PATIENCE even if the fit came out twice as steep as the end points
    t, v = level.last(points)
    slope = theil_sen(t, v)
    if not _steady(t, v, slope) or slope.high_per_s >= 0:
        return None
    low_s, likely_s, high_s = (watch.headroom / -rate for rate in (slope.low_per_s, slope.per_s, slope.high_per_s))
    if likely_s > min(furthest_s, PATIENCE * span_s) or high_s > MAX_SPREAD * low_s:
        return None
    impact = Impact(low_s=low_s, likely_s=likely_s, high_s=high_s)
    return _verdict(watch, slope, impact, (t + to_uptime_s, v))


def _steady(t: Array, v: Array, slope: Slope) -> bool:
    """Say whether every third of the window falls, and the last one at least a third as fast as the whole.

    One big step, a sawtooth (log rotation, garbage collection) and a rise that has ended all fail here. A third falls
    by the means of its halves, since single points are noisy; the newest point counts for itself.
    """
    thirds = zip(np.array_split(t, 3), np.array_split(v, 3), strict=True)
    rates = [_rate(times, values) for times, values in thirds]
    newest = v[-1] < np.median(v[-max(3, len(v) // 3) :])
    return bool(newest and max(rates) < 0 and rates[-1] <= slope.per_s / 3)


def _rate(t: Array, v: Array) -> float:
    half = (len(t) + 1) // 2
    return float((v[half:].mean() - v[:half].mean()) / (t[half:].mean() - t[:half].mean()))


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
        basis=Basis(judged=(watch.series,), threshold=_threshold(watch), explained=watch.mirrors),
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
            explained=watch.mirrors,
        ),
    )  # fmt: skip


def interval(impact: Impact) -> str:
    """Write the time to impact with its interval, which is left out where it reads the same."""
    low, likely, high = (duration(seconds) for seconds in (impact.low_s, impact.likely_s, impact.high_s))
    return likely if low == high else f"{likely} ({low} to {high})"
