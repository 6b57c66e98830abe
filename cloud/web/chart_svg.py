"""A chart as SVG, drawn on the server, complete without JavaScript: axes with units, limit, normal range and moments.

What flows in: the curve and the frame that the interactive chart is made of. What flows out: rectangles, lines and
texts in the pixels of a fixed view box, for the template. Colours are classes of the style sheet. Drawing with
Vega-Lite on the server takes a hundred times longer, and its colours would not follow the reader's theme.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cloud.web.charts import Frame, across, fitted_ends, scale_of
from cloud.web.evidence_series import Curve, Point, thin
from edge_agent.protocol.wording import number

WIDTH = 720
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 8, 36, 38  # margins, for the words of the axes
_MOST_POINTS = 300
_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400, 7 * 86_400)
_MOST_TIMES = 6
_HUGE = 1e290
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A straight line; `style` is the class that it is drawn with."""

    style: str
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A rectangle."""

    style: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """A text."""

    style: str
    x: float
    y: float
    anchor: Anchor
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart in the pixels of its view box."""

    width: int
    height: int
    areas: tuple[Area, ...]
    rules: tuple[Rule, ...]
    captions: tuple[Caption, ...]
    measured: str  # the path of the readings
    dots: tuple[tuple[float, float], ...]  # readings that have no neighbour to be joined with


def drawing(curve: Curve, frame: Frame, height: int) -> Drawing:
    """Draw one curve. It must have at least one reading."""
    plan = _Plan(curve, frame, height)
    path, dots = _joined(thin(curve.points, _MOST_POINTS), plan)
    return Drawing(
        width=WIDTH,
        height=height,
        areas=tuple(_areas(frame, plan)),
        rules=(*plan.grid(), *_rules(frame, plan)),
        captions=(*plan.values(), *plan.times(), *_captions(frame, plan)),
        measured=path,
        dots=dots,
    )


class _Plan:
    """Where values and instants lie: the ranges of both axes and their marks."""

    def __init__(self, curve: Curve, frame: Frame, height: int) -> None:
        self.scale = scale_of(curve, frame)
        self.start, self.end = across(curve, frame)
        self.bottom, self.right = height - _BOTTOM, WIDTH - _RIGHT
        self.fitted = [(at, value) for at, value in fitted_ends(frame, (self.start, self.end)) if value is not None]
        values = [*curve.values, *(value for _, value in self.fitted), *(frame.expected or ())]
        if frame.threshold:
            values.append(frame.threshold.value)
        low, high = self.scaled(min(values)), self.scaled(max(values))
        room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        self.low = low - (min(room, low) if low >= 0 else room)
        self.high = high + 1.5 * room
        self.step = _round_step((self.high - self.low) / max(2, (self.bottom - _TOP) / 48))

    def scaled(self, value: float) -> float:
        """Return a value in the chart's unit, cut to what stays finite."""
        return max(-_HUGE, min(value * self.scale.factor, _HUGE))

    def x(self, at: float) -> float:
        """Return where an instant lies, never beside the chart."""
        share = (at - self.start) / ((self.end - self.start) or 1)
        return round(_LEFT + max(0.0, min(share, 1.0)) * (self.right - _LEFT), 1)

    def y(self, value: float) -> float:
        """Return where a value, in its own unit, lies; never beside the chart."""
        return self.y_scaled(self.scaled(value))

    def y_scaled(self, value: float) -> float:
        """Return where a value in the chart's unit lies."""
        share = (value / 2 - self.low / 2) / ((self.high / 2 - self.low / 2) or 1)
        return round(self.bottom - max(0.0, min(share, 1.0)) * (self.bottom - _TOP), 1)

    def marks(self) -> list[float]:
        """Return the values that the axis names."""
        first = math.ceil(self.low / self.step)
        return [self.step * (first + i) for i in range(12) if self.step * (first + i) <= self.high]

    def grid(self) -> Iterator[Rule]:
        """Return a line for each value that is named, and the axis of time."""
        for value in self.marks():
            y = self.y_scaled(value)
            yield Rule(style="grid", x1=_LEFT, y1=y, x2=self.right, y2=y)
        yield Rule(style="axis", x1=_LEFT, y1=self.bottom, x2=self.right, y2=self.bottom)

    def values(self) -> Iterator[Caption]:
        """Return the words of the value axis, its unit on top."""
        yield Caption(style="axis-text", x=_LEFT - 8, y=12, anchor="end", text=self.scale.unit or "value")
        for value in self.marks():
            text = number(0.0 if abs(value) < self.step / 1e6 else value)
            yield Caption(style="axis-text", x=_LEFT - 8, y=self.y_scaled(value) + 4, anchor="end", text=text)

    def times(self) -> Iterator[Caption]:
        """Return the words of the time axis. Without JavaScript the server does not know the reader's zone."""
        first, step = self._time_steps()
        days = step >= timedelta(days=1)
        while first.timestamp() <= self.end:
            text = (
                f"{first:%d %b}" if days else f"{first:%H:%M:%S}" if step < timedelta(minutes=1) else f"{first:%H:%M}"
            )
            x = self.x(first.timestamp())
            if _LEFT + 10 < x < self.right - 14:
                yield Caption(style="axis-text", x=x, y=self.bottom + 16, anchor="middle", text=text)
            first += step
        day = datetime.fromtimestamp(self.start, tz=UTC)
        yield Caption(
            style="axis-text", x=self.right, y=self.bottom + 32, anchor="end", text=f"time, UTC, from {day:%a %d %b %Y}"
        )

    def _time_steps(self) -> tuple[datetime, timedelta]:
        span = self.end - self.start
        step = next((s for s in _STEPS_S if span / s <= _MOST_TIMES), span / _MOST_TIMES)
        first = math.ceil(self.start / step) * step
        return datetime.fromtimestamp(first, tz=UTC), timedelta(seconds=step)


def _round_step(least: float) -> float:
    """Return the next step of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((m * power for m in (1, 2, 5) if m * power >= least), 10 * power)


def _joined(points: Sequence[Point], plan: _Plan) -> tuple[str, tuple[tuple[float, float], ...]]:
    """Return a path through the readings that lifts its pen at gaps, and the readings that stand alone."""
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((plan.x(at), plan.y(value)))
    path = "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in run) for run in runs if len(run) > 1)
    return path, tuple(run[0] for run in runs if len(run) == 1)


def _areas(frame: Frame, plan: _Plan) -> Iterator[Area]:
    """Return the normal range, and the span in which the impact is expected."""
    if frame.expected:
        low, high = sorted((plan.y(frame.expected[0]), plan.y(frame.expected[1])))
        yield Area(style="expected", x=_LEFT, y=low, width=plan.right - _LEFT, height=round(high - low, 1))
    if frame.impact and frame.impact[0] < plan.end:
        first, last = plan.x(frame.impact[0]), plan.x(frame.impact[1])
        yield Area(style="impact", x=first, y=_TOP, width=round(last - first, 1), height=plan.bottom - _TOP)


def _rules(frame: Frame, plan: _Plan) -> Iterator[Rule]:
    """Return the fitted line, the limit and the moments."""
    if len(plan.fitted) == 2:
        (start, first), (end, last) = plan.fitted
        yield Rule(style="fitted", x1=plan.x(start), y1=plan.y(first), x2=plan.x(end), y2=plan.y(last))
    if frame.threshold:
        y = plan.y(frame.threshold.value)
        yield Rule(style="limit", x1=_LEFT, y1=y, x2=plan.right, y2=y)
    for name, at in _moments(frame, plan):
        x = plan.x(at)
        yield Rule(style=name, x1=x, y1=_TOP, x2=x, y2=plan.bottom)


def _captions(frame: Frame, plan: _Plan) -> Iterator[Caption]:
    if frame.threshold:
        text = f"{frame.threshold.meaning}: {number(plan.scaled(frame.threshold.value))} {plan.scale.unit}".rstrip()
        y = plan.y(frame.threshold.value) - 5
        yield Caption(style="limit-text", x=_LEFT + 4, y=y, anchor="start", text=text)
    for name, at in _moments(frame, plan):
        x = plan.x(at)
        anchor: Anchor = "end" if name == "detected" else "start"
        yield Caption(style=f"{name}-text", x=x + (-3 if anchor == "end" else 3), y=_TOP - 8, anchor=anchor, text=name)


def _moments(frame: Frame, plan: _Plan) -> list[tuple[str, float]]:
    now = [("now", frame.now)] if plan.start < frame.now <= plan.end else []
    return [("detected", frame.detected), *now]
