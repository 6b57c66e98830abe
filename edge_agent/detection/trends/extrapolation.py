"""Extrapolation of one limited quantity: its windows, its recurring low, and the nearest impact of any window.

What flows in: the headroom at each sample. What flows out: a verdict while the headroom falls steadily towards zero.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge_agent.detection.trends.limits import Limit
from edge_agent.detection.trends.multiscale_window import Array, MultiScaleWindow, Resolution
from edge_agent.detection.trends.persistence import Answer
from edge_agent.detection.trends.recurring_low import CLOSE_CALL, RecurringLow
from edge_agent.detection.trends.series_past import SeriesPast
from edge_agent.detection.trends.theil_sen import Slope, steady, theil_sen
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import metric_of
from edge_agent.protocol.records import Carrier, Impact, Line, Threshold
from edge_agent.protocol.wording import duration, quantity

# Window lengths in points, at each resolution. The first window that spans half of the remaining time detects a trend.
# More lengths detect it earlier: with 22 and 36 points only, a fill of 15 min is detected half a minute later.
WINDOWS = (22, 25, 29, 33, 38, 43, 49, 56, 64)
COARSE_WINDOWS = (6, 8, 10, 12, 14, 17, 22, 27, 32, 45, 64)
LEAST_COARSE_S = 10 * 3600.0  # shorter windows are left to the finer resolutions
MAX_EXTRAPOLATION = 2.0  # times the span of the window
MAX_SPREAD = 3.0  # ratio of the ends of the interval; a wider interval is of no use
RECOVERY = 0.5  # share of the fall in a window; a rise by this much ends the trend
LATEST = 8  # the latest part of a window, one of so many, must still fall at a third of the slope
USED_UP = 0.01  # share of the total: below it the limit counts as reached
LEAST_HEADROOM = CLOSE_CALL  # share of the total that must have been free once, for a reached limit to be a fault


@dataclass(frozen=True, slots=True)
class _WindowVerdict:
    """The verdict of a window, when it was evaluated, and the headroom that ends it."""

    verdict: Verdict
    evaluated_at_s: float
    recovered_at: float

    def at(self, uptime_s: float) -> Verdict:
        """Return the verdict with its time to impact counted from now."""
        passed_s, impact = uptime_s - self.evaluated_at_s, self.verdict.impact
        if impact is None or not passed_s:
            return self.verdict
        low_s, likely_s, high_s = (max(0.0, end - passed_s) for end in (impact.low_s, impact.likely_s, impact.high_s))
        return replace(self.verdict, impact=Impact(low_s=low_s, likely_s=likely_s, high_s=high_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The time of a sample on both clocks, whether the device has settled, and the furthest impact to report."""

    uptime_s: float
    operating_s: float
    settled: bool
    furthest_s: float


@dataclass(slots=True)
class Extrapolation:
    """One limited quantity: its windows and their verdicts, its recurring low, and whether it ever had headroom."""

    windows: MultiScaleWindow
    recurring_low: RecurringLow = field(default_factory=RecurringLow)
    had_headroom: bool = False
    most: float = 0.0
    restored: bool = False
    rebooted: bool = False
    seen_s: float = 0.0
    window_verdicts: dict[tuple[float, int], _WindowVerdict] = field(default_factory=dict)
    past: SeriesPast = field(default_factory=SeriesPast)
    answer: Answer | None = None
    case_open: bool = False  # the present trend is severe enough for a case; it stays so until it ends
    case_kept_until_s: float = 0.0  # uptime; a case from before a restart is kept until its windows are filled again

    def step(self, limit: Limit, times: Times) -> Verdict | None:
        """Add a reading; return the verdict with the nearest impact of any window."""
        self.seen_s = times.operating_s
        self.most = max(self.most, limit.total or limit.headroom)
        if self.rebooted and not limit.outlives_boot:
            self.recurring_low.restart()
        self.rebooted = False
        self.recurring_low.add(limit.headroom, self.most, times.operating_s)
        self.past.add(times.operating_s, limit.headroom)
        known = not self.window_verdicts and self.recurring_low.covers(limit.headroom)
        for resolution in self._moved(limit, times):
            if not self.window_verdicts and _far(limit, resolution.deepest_fall()):
                continue  # the usual case: no window of this resolution can have a verdict
            coarse = resolution in self.windows.coarse
            for points in COARSE_WINDOWS if coarse else WINDOWS:
                if not known and points <= len(resolution):  # a window that is filling again keeps its last verdict
                    self._evaluate(limit, resolution, points, times, times.operating_s if coarse else times.uptime_s)
        self._end_recovered(limit, times)
        if self._is_used_up(limit):
            return _used_up(limit)
        return min((kept.at(times.uptime_s) for kept in self.window_verdicts.values()), key=likely_s, default=None)

    def _end_recovered(self, limit: Limit, times: Times) -> None:
        """Drop the verdicts whose trend recovered; what a case was opened for, and came back, is known from now on."""
        recovered = [window for window, kept in self.window_verdicts.items() if limit.headroom >= kept.recovered_at]
        for window in recovered:
            del self.window_verdicts[window]
        if recovered and self.case_open and not self.window_verdicts:
            self.recurring_low.recovered(self.most, times.operating_s)

    def _moved(self, limit: Limit, times: Times) -> list[Resolution]:
        """Feed the windows; return the resolutions with a new point, and all coarse ones right after a restart."""
        moved = list(self.windows.add_fine(times.uptime_s, limit.headroom)) if times.settled else []
        coarse = list(self.windows.add_coarse(times.operating_s, limit.headroom))
        if self.restored:
            self.restored, coarse = False, list(self.windows.coarse)
        return moved + coarse

    def _evaluate(self, limit: Limit, resolution: Resolution, points: int, times: Times, now_s: float) -> None:
        """Evaluate one window; `now_s` is the current time on the clock of the resolution."""
        window = (resolution.spacing_s, points)
        self.window_verdicts.pop(window, None)
        if resolution in self.windows.coarse and points * resolution.spacing_s < LEAST_COARSE_S:
            return
        verdict = _evaluate(limit, resolution, points, times.furthest_s, times.uptime_s - now_s)
        if verdict and not self._has_ended(resolution, verdict):
            (_, fall), (_, newest) = resolution.falls_by(points), resolution.last(1)
            self.window_verdicts[window] = _WindowVerdict(verdict, times.uptime_s, float(newest[0]) + RECOVERY * fall)

    def _has_ended(self, resolution: Resolution, verdict: Verdict) -> bool:
        """Return whether the next finer resolution shows that the fall of a fine window stopped in its latest part.

        The points of a window are means over its spacing: a fall that stopped a few points ago still looks like one.
        """
        place = self.windows.fine.index(resolution) if resolution in self.windows.fine else 0
        return place > 0 and _has_stopped(verdict, self.windows.fine[place - 1 : place])

    def has_paused(self, verdict: Verdict) -> bool:
        """Return whether the fall has stopped in the latest part of the window, up to now.

        A window of hours or days learns of that late; the finest resolution that reaches back so far knows it first.
        """
        return _has_stopped(verdict, (*self.windows.fine, *self.windows.coarse))

    def restart(self, paused_s: float) -> None:
        """Clear the fine windows but keep their verdicts, whose countdown pauses for `paused_s`."""
        self.windows.restart()
        for window, kept in self.window_verdicts.items():
            self.window_verdicts[window] = replace(kept, evaluated_at_s=kept.evaluated_at_s + paused_s)

    def _is_used_up(self, limit: Limit) -> bool:
        """Return whether the limit is reached. A quantity that was always full (an image, a fixed pool) is no fault."""
        if not limit.total:
            return False
        self.had_headroom = self.had_headroom or limit.headroom >= LEAST_HEADROOM * limit.total
        return self.had_headroom and limit.headroom <= USED_UP * limit.total

    def export_state(self) -> dict[str, object]:
        """Return the persistent state."""
        return {
            "levels": self.windows.export_state(),
            "habit": self.recurring_low.export_state(),
            "roomy": self.had_headroom,
            "seen_s": round(self.seen_s),
            "past": self.past.export_state(),
        }


def latest_s(verdict: Verdict) -> float:
    """Return the length of the latest part of a trend's window, which must still fall; 0 without a window."""
    if verdict.basis.window is None:
        return 0.0
    times = verdict.basis.window[0]
    return float(times[-1] - times[0]) / LATEST


def _has_stopped(verdict: Verdict, resolutions: Sequence[Resolution]) -> bool:
    """Return whether the latest part falls at less than a third of the slope, in the first resolution that has it."""
    if verdict.basis.line is None:
        return False
    falls = (resolution.fall_over(latest_s(verdict)) for resolution in resolutions)
    fall_per_s = next((fall for fall in falls if fall is not None), None)
    return fall_per_s is not None and fall_per_s < abs(verdict.basis.line.slope_per_s) / 3


def likely_s(verdict: Verdict) -> float:
    """Return the seconds to the likely impact; infinite without one."""
    return verdict.impact.likely_s if verdict.impact else math.inf


def _evaluate(
    limit: Limit, resolution: Resolution, points: int, furthest_s: float, to_uptime_s: float
) -> Verdict | None:
    """Evaluate one window; None unless the trend is steady, the impact near enough and the interval narrow enough.

    `to_uptime_s` is added to the window's times to convert them to uptime.
    """
    span_s, fall = resolution.falls_by(points)
    if span_s < limit.min_span_s or fall <= 0 or _far(limit, fall):
        return None
    t, v = resolution.last(points)
    slope = theil_sen(t, v)
    if not steady(t, v, slope) or slope.high_per_s >= 0:
        return None
    low_s, likely_s, high_s = (limit.headroom / -rate for rate in (slope.low_per_s, slope.per_s, slope.high_per_s))
    if likely_s > min(furthest_s, MAX_EXTRAPOLATION * span_s) or high_s > MAX_SPREAD * low_s:
        return None
    impact = Impact(low_s=low_s, likely_s=likely_s, high_s=high_s)
    return _verdict(limit, slope, impact, (t + to_uptime_s, v))


def _far(limit: Limit, fall: float) -> bool:
    """Return whether a fall is too small for MAX_EXTRAPOLATION, even if the fit is twice as steep as the end points."""
    return limit.headroom > 2 * MAX_EXTRAPOLATION * fall


def _used_up(limit: Limit) -> Verdict:
    """Return the verdict for a reached limit: the impact is now."""
    unit, value = metric_of(limit.series).unit, (limit.total or 0.0) - limit.headroom
    return Verdict(
        fault=limit.fault,
        component=limit.component,
        confidence=1.0,
        reason=f"{quantity(limit.headroom, unit)} left of {quantity(limit.total or 0.0, unit)}: {limit.meaning}",
        impact=Impact(low_s=0.0, likely_s=0.0, high_s=0.0),
        carriers=(Carrier(metric=limit.series, value=value if limit.rising else limit.headroom, unit=unit, share=1.0),),
        basis=Basis(evaluated=(limit.series,), threshold=_threshold(limit), explained=limit.mirrors),
    )


def _threshold(limit: Limit) -> Threshold:
    """Return the value of the series at zero headroom."""
    value = (limit.total or 0.0) if limit.rising else 0.0
    return Threshold(metric=limit.series, value=value, meaning=limit.meaning)


def _verdict(limit: Limit, slope: Slope, impact: Impact, window: tuple[Array, Array]) -> Verdict:
    sign, end = (-1.0, limit.total or 0.0) if limit.rising else (1.0, 0.0)  # series = end + sign * headroom
    unit = metric_of(limit.series).unit
    span_s = float(window[0][-1] - window[0][0])
    times, each = (60, "minute") if span_s < 1800 else (3600, "hour")
    spread = (impact.high_s - impact.low_s) / max(impact.likely_s, 1e-9)
    return Verdict(
        fault=limit.fault,
        component=limit.component,
        confidence=max(0.5, 1 - spread / 2),
        reason=(
            f"{quantity(limit.headroom, unit)} left, "
            f"decreasing by {quantity(abs(slope.per_s) * times, unit)} per {each} "
            f"for {duration(span_s)}: {limit.meaning} in {interval(impact)}"
        ),
        impact=impact,
        carriers=(
            Carrier(metric=limit.series, value=end + sign * limit.headroom, unit=unit, share=1.0),
        ),
        basis=Basis(
            evaluated=(limit.series,),
            threshold=_threshold(limit),
            line=Line(
                metric=limit.series,
                value_at_detection=end + sign * limit.headroom,
                slope_per_s=sign * slope.per_s,
            ),
            window=(window[0], end + sign * window[1]),
            explained=limit.mirrors,
        ),
    )  # fmt: skip


def interval(impact: Impact) -> str:
    """Format the time to impact with its interval, which is omitted if both ends read the same."""
    low, likely, high = (duration(seconds) for seconds in (impact.low_s, impact.likely_s, impact.high_s))
    return likely if low == high else f"{likely} ({low} to {high})"
