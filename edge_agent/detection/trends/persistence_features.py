"""Features of a ramp for the persistence network: what tells whether it goes on until its limit.

What flows in: a ramp (its points, oriented so that it rises, and the limit above it), the past of the same series, and
what goes with it. What flows out: FEATURES, as numbers of moderate size; everything is relative to the ramp, so that
the unit and the size of a series do not matter.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.detection.trends.multiscale_window import Array
from edge_agent.detection.trends.series_past import DAY_S, Bins, Past

REACH = 1.5  # times the predicted time, within which the ramp should reach its limit
DAYS = 7
RUN_UPS = (2, 4, 8, 16)  # lengths of the ramp
PRIOR_SHARE = 0.2  # of rises that go on, before any is known
_TINY = 1e-12

SHAPE = (
    "distance", "duration", "noise", "curvature", "slope_half", "slope_quarter", "newest", "rising_steps",
    "largest_step",
)  # fmt: skip
PLACE = (
    "limit_over_week", "limit_over_day", "limit_over_week_spans", "start_over_day", "start_over_week", "rise_in_week",
    "gap_in_week", "share_above", "share_beyond", "log_share_beyond", "since_beyond", "range_of_day", "place_in_day",
)  # fmt: skip
DAILY = (
    "days_beyond", "same_hour_beyond", "same_hour_gain_1", "same_hour_gain", "same_hour_gains", "same_hour_gain_week",
    "same_hour_level_1", "same_hour_level", "same_hour_spread", "day_high",
)  # fmt: skip
LATEST_PARTS = (8, 16, 32)  # the ramp's last part, one of so many
LATEST = ("now", *(f"slope_latest_{parts}" for parts in LATEST_PARTS))
RUN_UP = tuple(f"run_up_{times}" for times in RUN_UPS)
_RISES = (
    "rises", "share", "share_steady", "share_level", "share_gap", "gain", "surges", "surges_far", "surge_share",
    "surge_most", "volatility",
)  # fmt: skip
RISES_DAY, RISES_WEEK = (tuple(f"{name}_{past}" for name in _RISES) for past in ("day", "week"))
NAMED = ("written_ratio", "read_ratio", "received_ratio", "started_ratio", "load_ratio", "settled")
FEATURES = SHAPE + LATEST + PLACE + DAILY + RUN_UP + RISES_DAY + RISES_WEEK + NAMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A rise: strictly increasing times in seconds, values, and the limit above; n >= 6 points."""

    t: Array
    v: Array
    limit: float


@dataclass(frozen=True, slots=True)
class _Line:
    """The straight line through a ramp: where it ends, by how much it rises, and what is left to the limit."""

    end: float
    start: float
    rise: float
    gap: float
    span_s: float

    @property
    def distance(self) -> float:
        return self.gap / self.rise


def persistence_features(ramp: Ramp, past: Past, named: Mapping[str, float] | None = None) -> Array:
    """Return FEATURES of a ramp as an array; those of NAMED that are not known are 0."""
    times = ramp.t - ramp.t.mean()
    slope = max(float(times @ ramp.v / (times @ times)), _TINY)
    middle = float(ramp.v.mean())
    end, start = middle + slope * float(times[-1]), middle + slope * float(times[0])
    step_s = float(times[-1] - times[0]) / (len(times) - 1)
    rise = max(slope * float(times[-1] - times[0]), _TINY)
    line = _Line(end, start, rise, max(ramp.limit - end, 1e-3 * rise), step_s * len(times))
    named = named or {}
    values = [
        *_shape(ramp, line, times, slope),
        *_latest(ramp, line, slope, past.fine),
        *_place(ramp.limit, line, past),
        *_daily(ramp.limit, line, past.coarse),
        *_run_up(line, past),
        *_rises(line, past.fine),
        *_rises(line, past.coarse),
        *(float(named.get(name, 0.0)) for name in NAMED),
    ]
    finite: Array = np.nan_to_num(np.array(values, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return finite


def _shape(ramp: Ramp, line: _Line, times: Array, slope: float) -> tuple[float, ...]:
    n, v = len(ramp.v), ramp.v
    residual = v - v.mean() - slope * times
    place = times / times[-1]
    bent = place * place - (place @ place) / n
    steps = np.diff(v)
    return (
        _log(line.distance),
        math.log(line.span_s / 3600),
        _log(float(residual.std()) / line.rise),
        _clip(4 * float(residual @ bent / (bent @ bent)) / line.rise, -3, 3),
        _clip(_slope(ramp, n // 2) / slope, -4, 6),
        _clip(_slope(ramp, max(3, n // 4)) / slope, -6, 8),
        _clip((float(v[-1]) - line.end) / line.rise, -2, 2),
        float((steps > 0).mean()),
        _clip(float(steps.max()) / line.rise, 0, 2),
    )


def _latest(ramp: Ramp, line: _Line, slope: float, day: Bins) -> tuple[float, ...]:
    """Where the series is now against the line, and how steep its last parts were; long ramps are read from bins.

    The points of a long ramp are means over their spacing: one that has just stopped shows it in the bins first.
    """
    steep = []
    for parts in LATEST_PARTS:
        count = round(line.span_s / parts / day.spacing_s)
        if 1 < count < len(day.last):
            rate = float(day.last[-1] - day.last[-1 - count]) / (count * day.spacing_s)
        else:
            rate = _slope(ramp, max(3, len(ramp.v) // parts))
        steep.append(_clip(rate / slope, -4, 6))
    return _clip((float(day.last[-1]) - line.end) / line.rise, -2, 2), *steep


def _slope(ramp: Ramp, points: int) -> float:
    """Return the slope of the last points."""
    times = ramp.t[-points:] - ramp.t[-points:].mean()
    return float(times @ ramp.v[-points:] / (times @ times))


def _place(limit: float, line: _Line, past: Past) -> tuple[float, ...]:
    """Where ramp and limit lie against the day and the week."""
    week, day = past.coarse, past.fine
    high, low = float(week.high.max()), float(week.low.min())
    day_high, day_low = float(day.high.max()), float(day.low.min())
    span = max(high - low, line.rise)
    beyond = week.high >= limit
    share_beyond = float(beyond.mean())
    seen = np.flatnonzero(beyond)
    since_s = (len(beyond) - 1 - int(seen[-1])) * week.spacing_s if len(seen) else 2 * DAYS * DAY_S
    return (
        math.asinh((limit - high) / line.rise),
        math.asinh((limit - day_high) / line.rise),
        _clip((limit - high) / span, -1.5, 3),
        math.asinh((line.start - day_low) / line.rise),
        math.asinh((line.start - low) / line.rise),
        _log(line.rise / span),
        _log(line.gap / span),
        float((week.last > line.end).mean()),
        share_beyond,
        math.log(share_beyond + 1e-3),
        math.log((since_s + 300) / line.span_s),
        _log((day_high - day_low) / span),
        _clip((line.end - day_low) / max(day_high - day_low, _TINY), -0.5, 2),
    )


def _daily(limit: float, line: _Line, week: Bins) -> tuple[float, ...]:
    """What the series did in the days before, and at the same hour of each."""
    day, newest = round(DAY_S / week.spacing_s), len(week.last) - 1
    ahead = 1 + _bins_ahead(line, week)
    days = [float(week.high[max(0, end - day) : end].max()) for end in range(newest + 1, 0, -day)][:DAYS]
    known = np.array([newest - back * day for back in range(1, DAYS + 1) if newest >= back * day], np.intp)
    days_beyond = float(np.mean(np.array(days) >= limit))
    day_high = math.asinh((days[0] - max(days[1:])) / line.rise) if len(days) > 1 else 0.0
    if not len(known):
        return days_beyond, days_beyond, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, day_high
    highest = np.array([week.high[place : place + ahead].max() for place in known])
    gain = np.clip((highest - week.last[known]) / line.gap, -2, 4)
    level = (week.last[known] - line.end) / line.rise
    return (
        days_beyond,
        float(((highest >= limit).sum() + PRIOR_SHARE * days_beyond) / (len(known) + PRIOR_SHARE)),
        float(gain[0]),
        float(gain.mean()),
        float((gain >= 1).mean()),
        float(gain[-1]),
        math.asinh(float(level[0])),
        math.asinh(float(np.median(level))),
        math.asinh(float(level.std())),
        day_high,
    )


def _bins_ahead(line: _Line, bins: Bins) -> int:
    """Return how many bins the ramp takes to its limit; a flat one takes no more than would fit in a year."""
    return math.ceil(min(REACH * line.distance * line.span_s, 365 * DAY_S) / bins.spacing_s)


def _run_up(line: _Line, past: Past) -> tuple[float, ...]:
    """By how much the series rose over several lengths of the ramp."""
    values = []
    for times in RUN_UPS:
        bins = past.fine if times * line.span_s <= DAY_S else past.coarse
        back = len(bins.last) - 1 - round(times * line.span_s / bins.spacing_s)
        values.append(math.asinh((line.end - float(bins.last[back])) / line.rise) if back >= 0 else 0.0)
    return tuple(values)


def _rises(line: _Line, bins: Bins) -> tuple[float, ...]:
    """How many rises like this one the series had, how far they went on, and how far any surge went."""
    length = max(1, round(line.span_s / bins.spacing_s))
    ahead = max(1, _bins_ahead(line, bins))
    ends = np.arange(length, len(bins.last) - 1 - min(ahead, 2 * length))
    volatility = float(np.abs(np.diff(bins.last)).mean()) * math.sqrt(length) / line.rise if len(bins.last) > 1 else 0.0
    if not len(ends):
        share = PRIOR_SHARE
        return 0.0, share, share, share, share, share, 0.0, 0.0, math.log(PRIOR_SHARE), 0.0, _log(volatility)
    return *_like(line, bins, length, ahead, ends), *_surges(line, bins, length, ahead), _log(volatility)


def _like(line: _Line, bins: Bins, length: int, ahead: int, ends: npt.NDArray[np.intp]) -> tuple[float, ...]:
    """Count rises of half to twice this one, and which share of them went on as far. `ends`: places in the bins."""
    at = bins.last[ends]
    rise = at - bins.last[ends - length]
    gain = highest_ahead(bins.high[1:], ahead)[ends] - at
    similar = (rise >= 0.5 * line.rise) & (rise <= 2 * line.rise)
    far = gain >= line.distance * rise
    half = at - bins.last[ends - (length + 1) // 2]
    straight = similar & (half > 0.2 * rise) & (half < 0.8 * rise)
    share = _share(similar, far, length, PRIOR_SHARE)
    size = np.log(np.maximum(rise, _TINY) / line.rise)
    near = np.exp(-0.5 * ((size / 0.5) ** 2 + ((at - line.end) / line.rise) ** 2))
    alike = np.exp(-0.5 * (size / 0.7) ** 2)
    reached = gain >= line.gap
    return (
        math.log1p(float(similar.sum()) / length),
        share,
        _share(straight, far, length, share),
        _share(near, reached, length, share),
        _share(alike, reached, length, PRIOR_SHARE),
        _share(alike, np.clip(gain / line.gap, -1, 3), length, PRIOR_SHARE),
    )


def _share(weight: npt.ArrayLike, outcome: npt.ArrayLike, length: int, prior: float) -> float:
    """Return the weighted mean of an outcome; half a rise of weight is given to what is expected without any."""
    each, came = np.asarray(weight, np.float64), np.asarray(outcome, np.float64)
    return (float(each @ came) + 0.5 * length * prior) / (float(each.sum()) + 0.5 * length)


def _surges(line: _Line, bins: Bins, length: int, ahead: int) -> tuple[float, ...]:
    """How often the series rose by as much as the ramp, and by as much as ramp and gap together, in their time."""
    before, total, over = bins.last[:-1], line.rise + line.gap, length + ahead
    short_rise = highest_ahead(bins.high[1:], length) - before
    long_rise = highest_ahead(bins.high[1:], over) - before
    near = float((short_rise >= 0.8 * line.rise).sum()) / length
    far = float((long_rise >= total).sum()) / over
    most = float(long_rise[: max(1, len(long_rise) - length)].max())
    return math.log1p(near), math.log1p(far), math.log((far + 0.1) / (near + 0.5)), math.asinh(most / total)


def highest_ahead(values: Array, count: int) -> Array:
    """Return for each place the highest of the next `count` values, of fewer at the end: (n,) to (n,)."""
    highest, covered = values, 1
    while covered < min(count, len(values)):
        step = min(covered, count - covered)
        highest = np.concatenate([np.maximum(highest[:-step], highest[step:]), highest[-step:]])
        covered += step
    return highest


def _log(value: float) -> float:
    return math.log(min(max(value, 1e-3), 1e3))


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
