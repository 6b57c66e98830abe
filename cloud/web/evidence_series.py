"""Curves out of evidence: the judged series, dated, joined from before and after, thinned for drawing.

What flows in: evidence rows as the database keeps them. What flows out: curves in wall time, and SVG paths. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import ValidationError

from cloud.store.tables import EvidenceRow
from edge_agent.protocol.metrics import Kind, metric_of
from edge_agent.protocol.records import Line, Series, Threshold

Point = tuple[float, float | None]  # seconds since 1970 (or since detection), value or gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One judged series: points in rising time, in the series' own UCUM unit."""

    metric: str
    unit: str
    points: tuple[Point, ...]

    @property
    def values(self) -> list[float]:
        """The readings, without gaps."""
        return [value for _, value in self.points if value is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an evidence pack shows: the judged curves, the limit, the fitted line, and when it was detected."""

    curves: tuple[Curve, ...]
    threshold: Threshold | None
    line: Line | None
    detected: float  # seconds since 1970
    intact: bool
    events: tuple[str, ...]


def read_evidence(rows: Sequence[EvidenceRow]) -> Seen | None:
    """Join the halves of one pack. A point is dated from the cloud's dating of the moment of detection.

    That is the first half's for both: the halves share one uptime, and two datings would tear the curve apart.
    What frames the curves (threshold, line) comes from the first half too. A series that can't be read is left out.
    """
    joined: dict[str, tuple[str, list[Point]]] = {}
    offset = rows[0].detected_at.timestamp() - float(rows[0].body["detected_uptime_s"]) if rows else 0.0
    for row in rows:
        for metric, unit, points in evaluated_points(row.body):
            joined.setdefault(metric, (unit, []))[1].extend((at + offset, value) for at, value in points)
    if not joined:
        return None
    threshold, line = _framing(rows[0].body)
    first = threshold.metric if threshold else line.metric if line else ""
    curves = [curve_of(metric, unit, points) for metric, (unit, points) in joined.items()]
    return Seen(
        curves=tuple(sorted(curves, key=lambda curve: curve.metric != first)),
        threshold=threshold,
        line=line,
        detected=rows[0].detected_at.timestamp(),
        intact=all(row.intact for row in rows),
        events=tuple(str(event) for row in rows for event in row.body.get("events", ())),
    )


def evaluated_points(body: dict[str, Any]) -> list[tuple[str, str, list[Point]]]:
    """Return name, unit and points (in uptime) of each judged series of one half."""
    found = []
    for raw in body.get("series", ()):
        if raw.get("role") != "judged":
            continue
        try:
            series = Series.model_validate(raw)
        except ValidationError:
            continue
        points = list(zip(series.uptime_s, series.values, strict=False))
        found.append((series.metric, series.unit, points))
    return found


def _framing(body: dict[str, Any]) -> tuple[Threshold | None, Line | None]:
    threshold, line = body.get("threshold"), body.get("line")
    return Threshold.model_validate(threshold) if threshold else None, Line.model_validate(line) if line else None


def curve_of(metric: str, unit: str, points: list[Point]) -> Curve:
    """Return points in rising time; a counter's as its rate."""
    ordered = sorted(dict(points).items())
    if metric_of(metric).kind is Kind.COUNTER and "/" not in unit:
        ordered, unit = _rates(ordered), f"{unit}/s"
    return Curve(metric=metric, unit=unit, points=tuple(ordered))


def _rates(points: list[Point]) -> list[Point]:
    """A total since boot is read as its rate; a step back (a restart) is a gap."""
    rates: list[Point] = []
    for (before, low), (at, high) in pairwise(points):
        known = low is not None and high is not None and high >= low
        rates.append((at, (high - low) / (at - before) if known else None))  # type: ignore[operator]
    return rates


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """Keep the lowest and highest reading of each of `most` / 2 stretches, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    size = -(-len(points) // (most // 2))
    kept: list[Point] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        known = [(at, value) for at, value in stretch if value is not None]
        if not known:
            kept.append((stretch[0][0], None))
            continue
        ends = {min(known, key=lambda point: point[1]), max(known, key=lambda point: point[1])}
        kept.extend(sorted(ends))
    return kept


def _share(value: float, low: float, high: float) -> float:
    """Return where a value lies from `low` (0) to `high` (1), for spans as small or large as floats can be."""
    if math.isinf(high - low):
        value, low, high = value / 2, low / 2, high / 2
    return (value - low) / ((high - low) or 1)


def path(points: Sequence[Point], width: float, height: float) -> str:
    """Return an SVG path of the points, filling `width` x `height` with a margin of 2; gaps lift the pen."""
    known = [value for _, value in points if value is not None]
    if len(known) < 2:
        return ""
    low, high, start, end = min(known), max(known), points[0][0], points[-1][0]
    flat = (height - 4) / 2 if high == low else 0.0
    steps, pen_down = [], False
    for at, value in points:
        if value is not None:
            x, y = 2 + _share(at, start, end) * (width - 4), height - 2 - flat - _share(value, low, high) * (height - 4)
            steps.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
        pen_down = value is not None
    return "".join(steps)
