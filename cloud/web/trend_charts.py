"""The charts of the figures page: precision with its interval, and lead time, week by week. Pure.

What flows in: trends. What flows out: drawn charts; weeks in which nothing can be counted are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from cloud.cases.figure_trend import Heat, Trend
from cloud.web.evidence_series import Point
from cloud.web.formatting import lead_time, percent
from cloud.web.health_strip import in_words
from cloud.web.line_chart import Axes, LineChart, Mark, axes_over, line_path

SIZE = (460, 190)
HEAT_STEPS = 5  # shades


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendView:
    """One group with its charts; None where nothing can be counted."""

    trend: Trend
    precision: LineChart | None
    lead: LineChart | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """A count and its shade, 0 for none."""

    count: int
    shade: int
    model: str


def trend_view(trend: Trend) -> TrendView:
    """Return the charts of a trend."""
    return TrendView(trend=trend, precision=_precision(trend), lead=_lead(trend))


MOST_DRAWN = 4  # groups; the table has them all


def heat_rows(heat: Heat) -> list[tuple[str, list[HeatCell], int]]:
    """Return a row for each fault: its cells and their sum."""
    most = heat.most or 1
    return [
        (
            fault,
            [
                HeatCell(count=count, shade=-(-count * HEAT_STEPS // most), model=model)
                for model, count in zip(heat.models, counts, strict=True)
            ],
            sum(counts),
        )
        for fault, counts in zip(heat.faults, heat.counts, strict=True)
    ]


def _precision(trend: Trend) -> LineChart | None:
    found = [(week.week, week.figures.precision) for week in trend.weeks if week.figures.precision]
    if not found:
        return None
    begin, end = _edges(trend)
    axes = Axes(begin=begin, end=end, low=0.0, high=100.0, width=SIZE[0], height=SIZE[1])
    points: list[Point] = [(_at(week), 100 * one.share) for week, one in found]
    marks = tuple(
        Mark(
            axes.x(_at(week)), axes.y(100 * one.share), axes.y(100 * one.low), axes.y(100 * one.high),
            f"week of {in_words(week)}: {percent(one.share)} ({percent(one.low)} to {percent(one.high)})",
        )
        for week, one in found
    )  # fmt: skip
    title = f"Precision by week, {_group(trend)}: {percent(found[-1][1].share)} in the last labelled week"
    return _chart(title, "%", axes, points, marks)


def _lead(trend: Trend) -> LineChart | None:
    weeks = [(week.week, week.figures.lead_median_s) for week in trend.weeks]
    found = [(week, seconds) for week, seconds in weeks if seconds is not None]
    if not found:
        return None
    divisor, unit = (86_400.0, "days") if max(abs(s) for _, s in found) > 3 * 86_400 else (3600.0, "hours")
    points: list[Point] = [(_at(week), seconds / divisor) for week, seconds in found]
    values = [value for _, value in points if value is not None]
    axes = axes_over([*values, 0.0], *_edges(trend), SIZE, floor=None if min(values) < 0 else 0.0)
    marks = tuple(
        Mark(axes.x(at), axes.y(value or 0), axes.y(value or 0), axes.y(value or 0), _lead_text(week, seconds))
        for (at, value), (week, seconds) in zip(points, found, strict=True)
    )
    title = f"Median lead time by week, {_group(trend)}: {lead_time(found[-1][1])} in the last week with one"
    return _chart(title, unit, axes, points, marks)


def _lead_text(week: date, seconds: float) -> str:
    return f"week of {in_words(week)}: {lead_time(seconds)}"


def _chart(title: str, unit: str, axes: Axes, points: Sequence[Point], marks: tuple[Mark, ...]) -> LineChart:
    return LineChart(
        title=title, unit=unit, width=SIZE[0], height=SIZE[1], x_ticks=axes.x_ticks(7), y_ticks=axes.y_ticks(4),
        line=line_path(axes, points), marks=marks,
    )  # fmt: skip


def _group(trend: Trend) -> str:
    return "all detectors" if trend.group == "all" else trend.group


def _edges(trend: Trend) -> tuple[float, float]:
    """The instants at both edges: half a week more on each side, so that the first and last mark are whole."""
    half = 3.5 * 86_400
    return _at(trend.weeks[0].week) - half, _at(trend.weeks[-1].week) + half


def _at(day: date) -> float:
    return datetime.combine(day, time(), UTC).timestamp()
