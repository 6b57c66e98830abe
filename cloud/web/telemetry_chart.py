"""A stored series at full rate: out of telemetry batches into a drawn chart, a Vega-Lite specification and a table.

What flows in: batches as they came, with their begin on the cloud's clock, and a period. What flows out: the names of
the series, or the chart of one. A batch of the profile `frugal` has mean, lowest and highest of five minutes; one of
the profile `full` has every reading. A batch that can't be unpacked is left out and counted.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import altair as alt

from cloud.web.charts import MOST_POINTS, MOST_ROWS, TIME_TITLE
from cloud.web.evidence_series import Point, thin
from cloud.web.line_chart import LineChart, axes_over, band_path, line_path
from edge_agent.protocol.telemetry import Batch, unpack
from edge_agent.protocol.wording import Scale, metric_words, number, scale_for

WIDTH, HEIGHT = 960, 260
GAP = 1.5  # periods without a reading that lift the pen
Chunks = Sequence[tuple[datetime, bytes]]
Row = tuple[float, float | None, float | None, float | None]  # at, value, lowest, highest


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesChart:
    """One series over a period."""

    drawn: LineChart
    spec: dict[str, Any]
    value_name: str
    rows: tuple[tuple[float, str, str], ...]  # at, value, range
    readings: int
    unreadable: int  # batches
    has_range: bool


def series_in(body: bytes) -> tuple[str, ...]:
    """Return the names of the series of a batch; none if it can't be unpacked."""
    try:
        return tuple(sorted({column.series for column in unpack(body).columns}, key=metric_words))
    except ValueError:
        return ()


def chart_of(series: str, chunks: Chunks, begin: float, end: float) -> SeriesChart | None:
    """Return the chart of a series; None without a reading in the period."""
    rows, unit, unreadable = _readings(series, chunks, begin, end)
    values = [value for row in rows for value in row[1:] if value is not None]
    if not values:
        return None
    scale = scale_for(values, unit)
    scaled = [_scaled(row, scale) for row in rows]
    points: list[Point] = [(row[0], row[1]) for row in scaled]
    has_range = any(row[2] is not None for row in scaled)
    title = _title(series, points, scale)
    return SeriesChart(
        drawn=_draw(title, scaled, scale, (begin, end)),
        spec=_specification(scaled, scale, (begin, end)),
        value_name=metric_words(series),
        rows=tuple(_table(scaled, scale)),
        readings=sum(value is not None for _, value in points),
        unreadable=unreadable,
        has_range=has_range,
    )


def _readings(series: str, chunks: Chunks, begin: float, end: float) -> tuple[list[Row], str, int]:
    rows: list[Row] = []
    unit, unreadable = "1", 0
    for start, body in chunks:
        try:
            batch = unpack(body)
        except ValueError:
            unreadable += 1
            continue
        found = {column.aggregate: column for column in batch.columns if column.series == series}
        if not found:
            continue
        unit = next(iter(found.values())).unit
        if rows and start.timestamp() - rows[-1][0] > GAP * batch.period_s:
            rows.append((rows[-1][0] + batch.period_s, None, None, None))
        rows += [row for row in _rows(batch, found, start.timestamp()) if begin <= row[0] <= end]
    return sorted(rows, key=lambda row: row[0]), unit, unreadable


def _rows(batch: Batch, found: dict[str, Any], start: float) -> Iterator[Row]:
    value = found.get("mean") or found.get("last") or next(iter(found.values()))
    low, high = found.get("min"), found.get("max")
    for place in range(len(value.values)):
        yield (
            start + place * batch.period_s,
            _known(value.values[place]),
            _known(low.values[place]) if low else None,
            _known(high.values[place]) if high else None,
        )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _scaled(row: Row, scale: Scale) -> Row:
    at, value, low, high = row
    times = [None if one is None else one * scale.factor for one in (value, low, high)]
    return at, times[0], times[1], times[2]


def _title(series: str, points: Sequence[Point], scale: Scale) -> str:
    known = [value for _, value in points if value is not None]
    unit = f" {scale.unit}" if scale.unit else ""
    low, high = number(min(known)), number(max(known))
    return f"{metric_words(series)}: {f'{low} to {high}' if low != high else low}{unit}"


def _draw(title: str, rows: Sequence[Row], scale: Scale, across: tuple[float, float]) -> LineChart:
    values = [value for row in rows for value in row[1:] if value is not None]
    axes = axes_over(values, *across, (WIDTH, HEIGHT))
    lows = thin([(at, low) for at, _, low, _ in rows], MOST_POINTS)
    highs = dict(thin([(at, high) for at, _, _, high in rows], MOST_POINTS))
    kept = {at for at, _ in lows} | set(highs)
    band = [(at, low, high) for at, _, low, high in rows if at in kept]
    return LineChart(
        title=title, unit=scale.unit or "value", width=WIDTH, height=HEIGHT,
        x_ticks=axes.x_ticks(9), y_ticks=axes.y_ticks(5),
        line=line_path(axes, thin([(at, value) for at, value, _, _ in rows], MOST_POINTS)),
        band=band_path(axes, band),
    )  # fmt: skip


def _specification(rows: Sequence[Row], scale: Scale, across: tuple[float, float]) -> dict[str, Any]:
    value = {at: one for at, one, _, _ in rows}
    kept = sorted({at for at, _ in thin(list(value.items()), MOST_POINTS)})
    ranges = {at: (low, high) for at, _, low, high in rows}
    data = [{"at": round(at * 1000), "value": value[at], "low": ranges[at][0], "high": ranges[at][1]} for at in kept]
    domain = [alt.ExprRef(f"toDate({round(at * 1000)})") for at in across]  # as in `cloud.web.charts`
    x = alt.X("at:T").title(TIME_TITLE).scale(domain=domain, nice=False)
    y = alt.Y("value:Q").title(scale.unit or "value").scale(zero=False)
    base = alt.Chart(alt.NamedData(name="series"))
    band = base.mark_area(style="expected", clip=True).encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
    line = base.mark_line(style="measured", clip=True).encode(x=x, y=y)
    hover = [
        alt.Tooltip("at:T", title="time", format="%a %d %b %H:%M:%S"),
        alt.Tooltip("value:Q", title=scale.unit or "value", format=",.4~g"),
    ]
    points = base.mark_point(style="hover", clip=True).encode(x=x, y=y, tooltip=hover)
    layers = [band, line, points] if any(row["low"] is not None for row in data) else [line, points]
    chart = alt.layer(*layers).properties(width="container", height=HEIGHT, background="transparent")
    spec: dict[str, Any] = chart.to_dict()
    return spec | {"datasets": {"series": data}}


def _table(rows: Sequence[Row], scale: Scale) -> Iterator[tuple[float, str, str]]:
    ranges = {at: (low, high) for at, _, low, high in rows}
    for at, value in thin([(at, one) for at, one, _, _ in rows], MOST_ROWS):
        low, high = ranges[at]
        between = "" if low is None or high is None else f"{number(low)} to {number(high)} {scale.unit}".rstrip()
        yield at, "no reading" if value is None else f"{number(value)} {scale.unit}".rstrip(), between
