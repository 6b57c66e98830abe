"""The course of one watched thing: its windows, its habit, and the nearest impact that any of its windows sees.

What flows in: what is left of it at each sample. What flows out: a verdict while it is steadily on its way to zero.
"""

import math
from dataclasses import dataclass, field, replace

from edge_agent.detection.trends.limits import Watch
from edge_agent.detection.trends.multiscale_window import Array, Ladder, Level
from edge_agent.detection.trends.recurring_low import CLOSE_CALL, Habit
from edge_agent.detection.trends.theil_sen import Slope, steady, theil_sen
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import metric_of
from edge_agent.protocol.records import Carrier, Impact, Line, Threshold
from edge_agent.protocol.wording import duration, quantity

# Points looked at in each level. A trend is said by the first window that has watched it for half of what is left, so
# the closer they lie, the earlier: from 22 and 36 points alone, a fill of 15 min is said half a minute later.
WINDOWS = (22, 25, 29, 33, 38, 43, 49, 56, 64)
COARSE_WINDOWS = (6, 8, 10, 12, 14, 17, 22, 27, 32, 45, 64)
LEAST_COARSE_S = 10 * 3600.0  # of hours; what is shorter the finer levels see
PATIENCE = 2.0  # a trend must have been watched for half of the time it is extrapolated by
MAX_SPREAD = 3.0  # an interval whose ends are further apart than this factor helps nobody
GIVEN_BACK = 0.5  # of what a window lost: when it is back, the trend is over
USED_UP = 0.01  # share of the whole: below it the limit counts as reached
ROOMY = CLOSE_CALL  # share of the whole that must have been seen once, for the end of it to be a fault


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
class Times:
    """The instant of a sample on both clocks, whether the device has settled, and how far ahead to look."""

    uptime_s: float
    life_s: float
    settled: bool
    furthest_s: float


@dataclass(slots=True)
class Course:
    """One watched thing: its windows, what each of them says, its habit, and whether it ever had room."""

    ladder: Ladder
    habit: Habit = field(default_factory=Habit)
    roomy: bool = False
    most: float = 0.0
    restored: bool = False
    rebooted: bool = False
    seen_s: float = 0.0
    standing: dict[tuple[float, int], _Standing] = field(default_factory=dict)

    def step(self, watch: Watch, times: Times) -> Verdict | None:
        """Take a reading; return the nearest impact that any window sees."""
        self.seen_s = times.life_s
        self.most = max(self.most, watch.total or watch.headroom)
        if self.rebooted and not watch.outlives_boot:
            self.habit.restart()
        self.rebooted = False
        self.habit.add(watch.headroom, self.most, times.life_s)
        known = not self.standing and self.habit.knows(watch.headroom)
        for level in self._moved(watch, times):
            if not self.standing and _far(watch, level.deepest_fall()):
                continue  # nearly always; no window of it would be judged any other way
            coarse = level in self.ladder.coarse
            for points in COARSE_WINDOWS if coarse else WINDOWS:
                if not known and points <= len(level):  # a window that is filling again keeps its last word
                    self._judge(watch, level, points, times, times.life_s if coarse else times.uptime_s)
        for window in [window for window, held in self.standing.items() if watch.headroom >= held.given_back]:
            del self.standing[window]
        if self._is_used_up(watch):
            return _used_up(watch)
        return min((held.at(times.uptime_s) for held in self.standing.values()), key=likely_s, default=None)

    def _moved(self, watch: Watch, times: Times) -> list[Level]:
        """Feed the windows; return the levels with a new point, and all coarse ones right after a restart."""
        moved = list(self.ladder.add_fine(times.uptime_s, watch.headroom)) if times.settled else []
        coarse = list(self.ladder.add_coarse(times.life_s, watch.headroom))
        if self.restored:
            self.restored, coarse = False, list(self.ladder.coarse)
        return moved + coarse

    def _judge(self, watch: Watch, level: Level, points: int, times: Times, now_s: float) -> None:
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


def likely_s(verdict: Verdict) -> float:
    """Return the seconds to the likely impact; infinite without one."""
    return verdict.impact.likely_s if verdict.impact else math.inf


def _judge(watch: Watch, level: Level, points: int, furthest_s: float, to_uptime_s: float) -> Verdict | None:
    """Judge one window of a watched thing; None unless the trend is steady, near enough and narrow enough.

    `to_uptime_s` is added to the window's times to make them this boot's uptime.
    """
    span_s, fall = level.falls_by(points)
    if span_s < watch.min_span_s or fall <= 0 or _far(watch, fall):
        return None
    t, v = level.last(points)
    slope = theil_sen(t, v)
    if not steady(t, v, slope) or slope.high_per_s >= 0:
        return None
    low_s, likely_s, high_s = (watch.headroom / -rate for rate in (slope.low_per_s, slope.per_s, slope.high_per_s))
    if likely_s > min(furthest_s, PATIENCE * span_s) or high_s > MAX_SPREAD * low_s:
        return None
    impact = Impact(low_s=low_s, likely_s=likely_s, high_s=high_s)
    return _verdict(watch, slope, impact, (t + to_uptime_s, v))


def _far(watch: Watch, fall: float) -> bool:
    """Say whether a fall is far from what PATIENCE asks for, even if the fit came out twice as steep as its ends."""
    return watch.headroom > 2 * PATIENCE * fall


def _used_up(watch: Watch) -> Verdict:
    """The limit has been reached: the customer notices now, for as long as it lasts."""
    unit, value = metric_of(watch.series).unit, (watch.total or 0.0) - watch.headroom
    return Verdict(
        fault=watch.fault,
        component=watch.component,
        confidence=1.0,
        reason=f"{quantity(watch.headroom, unit)} left of {quantity(watch.total or 0.0, unit)}: {watch.meaning}",
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
            f"{quantity(watch.headroom, unit)} left, {quantity(abs(slope.per_s) * times, unit)} less {each} "
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
