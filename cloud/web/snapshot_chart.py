"""The chart of an evidence snapshot: one Vega-Lite specification, drawn in the page and written as SVG, PNG and CSV.

What flows in: the body of a snapshot. What flows out: the specification, or a file made of it. Pure, but for the
renderer. Colours are not in the specification: the page has its own, and files get THEME.
"""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import vl_convert

from cloud.web.charts import TIME_TITLE, Chart, Frame, draw
from cloud.web.evidence_series import Curve, Point, curve_of
from edge_agent.protocol.records import Line, Threshold

Body = dict[str, Any]
MOST_CHARTS = 4
WIDTH, HEIGHTS = 680, (240, 120)  # of the first chart, and of those below it

_MUTED, _TEXT, _ACCENT, _CRITICAL, _FINE = "#59626e", "#1a1f26", "#0b62c4", "#bd1f2d", "#1b7a43"
THEME: dict[str, Any] = {  # the light colours of static/console.css, as static/console.js gives them to the page
    "background": "#ffffff",
    "view": {"stroke": None},
    "axis": {"labelColor": _MUTED, "titleColor": _MUTED, "gridColor": "#e0e4ea", "domainColor": "#e0e4ea"},
    "axisX": {"grid": False},
    "axisY": {"domain": False, "ticks": False},
    "style": {
        "measured": {"color": _ACCENT, "strokeWidth": 2},
        "hover": {"opacity": 0},
        "fitted": {"color": _TEXT, "strokeWidth": 1.5, "strokeDash": [5, 4]},
        "limit": {"color": _CRITICAL, "strokeWidth": 1.5},
        "limit-text": {"color": _CRITICAL, "fontWeight": 600},
        "expected": {"color": _FINE, "fillOpacity": 0.16},
        "impact": {"color": _CRITICAL, "fillOpacity": 0.12},
        "detected": {"color": _MUTED, "strokeWidth": 1, "strokeDash": [2, 2]},
        "detected-text": {"color": _MUTED, "fontWeight": 600},
    },
}


def specification(body: Body) -> dict[str, Any] | None:
    """Return the specification of all charts of a snapshot, one below the other; None without any reading."""
    charts = list(_charts(body))
    if not charts:
        return None
    views: list[dict[str, Any]] = []
    datasets: dict[str, Any] = {}
    for place, chart in enumerate(charts):
        datasets |= {f"{place}-{name}": rows for name, rows in chart.spec["datasets"].items()}
        view = {key: value for key, value in chart.spec.items() if key not in ("datasets", "$schema", "config")}
        title = {"text": chart.title, "anchor": "start", "fontSize": 12, "fontWeight": 600}
        views.append(_renamed(view, f"{place}-") | {"width": WIDTH, "title": title})
    return {"$schema": charts[0].spec["$schema"], "vconcat": views, "datasets": datasets}


def svg(body: Body) -> str | None:
    """Return the charts as SVG."""
    spec = specification(body)
    return vl_convert.vegalite_to_svg(_in_utc(spec), config=THEME) if spec else None


def png(body: Body) -> bytes | None:
    """Return the charts as PNG, for screens with two pixels to a point."""
    spec = specification(body)
    return vl_convert.vegalite_to_png(_in_utc(spec), scale=2, config=THEME) if spec else None


def as_csv(body: Body) -> str:
    """Return every reading at full rate, with the limit and the normal range of its metric."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["metric", "unit", "role", "at", "value", "normal_low", "normal_high", "limit"])
    normal, limit = _normal(body), body.get("threshold") or {}
    for series in body.get("series", ()):
        low, high = normal.get(series["metric"], (None, None))
        value_of_limit = limit.get("value") if limit.get("metric") == series["metric"] else None
        for at, value in zip(series["at"], series["values"], strict=False):
            when = datetime.fromtimestamp(at, tz=UTC).isoformat(timespec="milliseconds")
            name = _harmless(series["metric"])
            writer.writerow([name, series["unit"], series["role"], when, value, low, high, value_of_limit])
    return out.getvalue()


def as_json(body: Body, sha256: str) -> str:
    """Return all of a snapshot, with its hash."""
    return json.dumps({"sha256": sha256, "snapshot": body}, indent=1, sort_keys=True)


def specification_file(body: Body) -> str | None:
    """Return the specification with the colours of a file, to draw it elsewhere."""
    spec = specification(body)
    return json.dumps(spec | {"config": THEME}, indent=1) if spec else None


def _charts(body: Body) -> Iterator[Chart]:
    curves = _curves(body)[:MOST_CHARTS]
    normal = _normal(body)
    for place, curve in enumerate(curves):
        low, high = normal.get(curve.metric, (None, None))
        expected = (low, high) if low is not None and high is not None else None
        yield draw(curve, _frame(body, curve, expected), HEIGHTS[0] if place == 0 else HEIGHTS[1])


def _curves(body: Body) -> list[Curve]:
    """Return what was measured: the limited series first, then the evaluated ones, then the context."""
    joined: dict[str, tuple[str, str, list[Point]]] = {}
    for series in body.get("series", ()):
        points = joined.setdefault(series["metric"], (series["unit"], series["role"], []))[2]
        points.extend(zip(series["at"], series["values"], strict=False))
    limited = (body.get("threshold") or {}).get("metric")
    order = sorted(joined.items(), key=lambda one: (one[0] != limited, one[1][1] != "judged"))
    curves = [curve_of(metric, unit, points) for metric, (unit, _, points) in order]
    return [curve for curve in curves if curve.values]


def _frame(body: Body, curve: Curve, expected: tuple[float, float] | None) -> Frame:
    threshold, line = body.get("threshold"), body.get("line")
    soonest, _, latest = body["finding"]["impact"]
    return Frame(
        detected=body["detected_at"],
        now=body["detected_at"] - 1e9,  # a frozen chart has no now
        threshold=Threshold(**threshold) if threshold and threshold["metric"] == curve.metric else None,
        line=Line(**line) if line and line["metric"] == curve.metric else None,
        expected=expected,
        impact=(soonest, latest) if soonest and latest else None,
    )


def _normal(body: Body) -> dict[str, tuple[float | None, float | None]]:
    carriers = body.get("finding", {}).get("carriers", ())
    return {one["metric"]: (one.get("expected_low"), one.get("expected_high")) for one in carriers}


def _harmless(text: str) -> str:
    """Keep spreadsheets from taking a device's text for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def _in_utc(part: Any) -> Any:
    """Return a part of a specification with its time axis in UTC: a file has no reader's zone."""
    if isinstance(part, list):
        return [_in_utc(one) for one in part]
    if not isinstance(part, dict):
        return part
    if part.get("title") == TIME_TITLE:
        return part | {"title": "time, UTC", "scale": {**part.get("scale", {}), "type": "utc"}}
    return {key: _in_utc(value) if key != "datasets" else value for key, value in part.items()}


def _renamed(part: Any, prefix: str) -> Any:
    """Return a part of a specification whose data have other names."""
    if isinstance(part, list):
        return [_renamed(one, prefix) for one in part]
    if not isinstance(part, dict):
        return part
    return {
        key: {"name": prefix + value["name"]} if key == "data" and "name" in value else _renamed(value, prefix)
        for key, value in part.items()
    }
