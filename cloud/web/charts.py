"""The chart of a finding, as a Vega-Lite specification made with Altair.

What flows in: what an evidence pack shows, the expected band, the impact interval and now. What flows out: the
specification, a title in words, and the same data as rows of a table; cloud/web/chart_svg.py draws the same on the
server. Colours are not in it: marks name a style (`measured`, `fitted`, `limit`, `expected`, `impact`,
`detected`, `now`), and the page fills those in from its theme.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt

from cloud.web.evidence_series import Curve, Point, Seen, thin
from cloud.web.formatting import duration
from edge_agent.protocol.records import Line, Threshold
from edge_agent.protocol.wording import Scale, metric_words, number, scale_for

MOST_POINTS = 400  # in a chart; a reader's screen has no more columns
MOST_ROWS = 40  # in the table
_TEXT_ROOM = 26  # pixels above the highest line, for the limit's words
TIME_TITLE = "time, in your zone"
_HUGE = 1e290
LOOK_AHEAD = 6  # the future gets at most this many times the width of the past
_TIMES = {"seconds": "%H:%M:%S", "minutes": "%H:%M", "hours": "%H:%M", "date": "%a %d %b", "day": "%a %d %b"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What surrounds one curve: its limit, the line fitted to it, the normal range, and the moments that matter."""

    detected: float
    now: float
    threshold: Threshold | None = None
    line: Line | None = None
    expected: tuple[float, float] | None = None
    impact: tuple[float, float] | None = None  # from the soonest to the latest, seconds since 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One drawn curve: a title that says what it shows, and the specification."""

    title: str
    spec: dict[str, Any]


def frame_of(curve: Curve, seen: Seen, **moments: Any) -> Frame:
    """Give a curve its own limit and line, and the given moments and ranges."""
    threshold = seen.threshold if seen.threshold and seen.threshold.metric == curve.metric else None
    line = seen.line if seen.line and seen.line.metric == curve.metric else None
    return Frame(detected=seen.detected, threshold=threshold, line=line, **moments)


def draw(curve: Curve, frame: Frame, height: int) -> Chart:
    """Return the chart of one curve. The curve must have at least one reading."""
    scale = scale_of(curve, frame)
    axes = _Axes(curve, frame, scale, across(curve, frame), height)
    layers = _layers(axes, curve, frame)
    chart = alt.layer(*layers.values()).properties(width="container", height=height, background="transparent")
    return Chart(
        title=title_of(curve, frame),
        spec=chart.to_dict() | {"datasets": axes.datasets},
    )


def table(curve: Curve, frame: Frame) -> tuple[tuple[float, str], ...]:
    """Return the data of a chart as the rows of a table: instant, and reading with its unit."""
    scale = scale_of(curve, frame)
    return tuple((at, _reading(value, scale)) for at, value in thin(curve.points, MOST_ROWS))


def title_of(curve: Curve, frame: Frame) -> str:
    """Say in one sentence what the chart shows: from where to where, how fast, and towards what."""
    scale = scale_of(curve, frame)
    values, points = curve.values, curve.points
    took = duration(points[-1][0] - points[0][0])
    unit = f" {scale.unit}" if scale.unit else ""
    first, last = number(values[0] * scale.factor), number(values[-1] * scale.factor)
    moved = f"went from {first} to {last}{unit}" if first != last else f"stayed at {last}{unit}"
    text = f"{metric_words(curve.metric)} {moved} in {took}"
    if frame.threshold:
        return f"{text}; {frame.threshold.meaning} at {number(frame.threshold.value * scale.factor)}{unit}"
    if frame.expected:
        low, high = (number(value * scale.factor) for value in frame.expected)
        return f"{text}; normal for this device is {low} to {high}{unit}"
    return text


def _reading(value: float | None, scale: Scale) -> str:
    return "no reading" if value is None else f"{number(value * scale.factor)} {scale.unit}".rstrip()


def scale_of(curve: Curve, frame: Frame) -> Scale:
    """Return the unit that fits all that is drawn."""
    values = [*curve.values, *(frame.expected or ())]
    if frame.threshold:
        values.append(frame.threshold.value)
    return scale_for(values, curve.unit)


def across(curve: Curve, frame: Frame) -> tuple[float, float]:
    """Return the instants at both edges: the past, and as much of the future as leaves the past legible."""
    start, end = curve.points[0][0], max(curve.points[-1][0], frame.detected)
    past = max(end - start, 60.0)
    future = [at for at in (_crossing(frame), *(frame.impact or ())) if at is not None and at > end]
    edge = min(max(future, default=end), end + LOOK_AHEAD * past)
    if frame.now <= max([end + past, *future]):  # without a prediction, hours of emptiness say nothing
        edge = max(edge, frame.now)
    return start, edge + 0.02 * (edge - start)


def _crossing(frame: Frame) -> float | None:
    """When the fitted line reaches the limit; None if it does not, or not from here on."""
    if not frame.line or not frame.threshold or frame.line.slope_per_s == 0:
        return None
    after = (frame.threshold.value - frame.line.value_at_detection) / frame.line.slope_per_s
    return frame.detected + after if after > 0 else None


def _layers(axes: "_Axes", curve: Curve, frame: Frame) -> dict[str, Any]:
    """The layers from the back to the front, by their style."""
    across = axes.across
    layers: dict[str, Any] = {}
    if frame.impact and frame.impact[0] < across[1]:
        sides = {"from": axes.ms(frame.impact[0]), "to": axes.ms(min(frame.impact[1], across[1]))}
        layers["impact"] = (
            axes.on("impact", [sides]).mark_rect(style="impact", clip=True).encode(x=axes.x("from"), x2="to:T")
        )
    if frame.expected:
        low, high = (axes.scaled(value) for value in frame.expected)
        band = axes.on("expected", [{"low": low, "high": high}]).mark_rect(style="expected", clip=True)
        layers["expected"] = band.encode(y=axes.y("low"), y2="high:Q")
    if axes.fitted:
        layers["fitted"] = axes.line(axes.fitted, "fitted")
    layers["measured"] = axes.line(thin(curve.points, MOST_POINTS), "measured")
    if frame.threshold:
        layers["limit"] = axes.limit(frame.threshold)
    layers["detected"] = axes.moment(frame.detected, "detected", align="right")
    if across[0] < frame.now <= across[1]:
        layers["now"] = axes.moment(frame.now, "now", align="left")
    return layers


def fitted_ends(frame: Frame, across: tuple[float, float]) -> list[Point]:
    """Return the ends of the fitted line: from the left edge to the limit, or to the right edge if that is nearer."""
    if not frame.line:
        return []
    line, crossing = frame.line, _crossing(frame)
    ends = (across[0], min(crossing or across[1], across[1]))
    return [(at, line.value_at_detection + line.slope_per_s * (at - frame.detected)) for at in ends]


class _Axes:
    """Both axes of one chart, and marks that are drawn on them."""

    def __init__(self, curve: Curve, frame: Frame, scale: Scale, across: tuple[float, float], height: int) -> None:
        self.scale, self.across, self.fitted = scale, across, fitted_ends(frame, across)
        values = [*curve.values, *(value for _, value in self.fitted if value is not None), *(frame.expected or ())]
        if frame.threshold:
            values.append(frame.threshold.value)
        low, high = self.scaled(min(values)), self.scaled(max(values))
        span = (high - low) or abs(high) * 0.1 or 1.0
        above = span * _TEXT_ROOM / height
        below = min(above, low) if low >= 0 else above
        self._domain = [low - below, high + above]
        # As expressions: numbers become datetime(ms), which reads as a year in the interpreter that needs no eval.
        self._domain_x = [alt.ExprRef(f"toDate({self.ms(at)})") for at in across]
        self._title = scale.unit or "value"
        self.datasets: dict[str, list[dict[str, Any]]] = {}

    @staticmethod
    def ms(at: float) -> int:
        """Return an instant as JavaScript has it."""
        return round(at * 1000)

    def scaled(self, value: float) -> float:
        """Return a value in the chart's unit, cut to what can be added and multiplied without becoming infinite."""
        return round(max(-_HUGE, min(value * self.scale.factor, _HUGE)), 6)

    def on(self, name: str, values: list[dict[str, Any]]) -> alt.Chart:
        """A layer over these rows. They are added to the specification at its end: Altair copies what it holds."""
        self.datasets[name] = values
        return alt.Chart(alt.NamedData(name=name))

    def x(self, name: str) -> alt.X:
        """A place on the time axis."""
        return alt.X(f"{name}:T").title(TIME_TITLE)

    def y(self, name: str) -> alt.Y:
        """A place on the value axis."""
        return alt.Y(f"{name}:Q").title(self._title)

    def defined(self) -> tuple[alt.X, alt.Y]:
        """Both axes with their ranges. One layer alone uses them: Vega-Lite would unite ranges given twice."""
        axis = alt.Axis(format=_TIMES, labelOverlap="greedy", labelSeparation=12, labelFlush=True, tickCount=6)
        x = self.x("at").axis(axis).scale(domain=self._domain_x, nice=False)
        return x, self.y("value").scale(domain=self._domain, nice=False, zero=False).axis(tickCount=5)

    def line(self, points: Sequence[Point], style: str) -> Any:
        values = [{"at": self.ms(at), "value": None if value is None else self.scaled(value)} for at, value in points]
        line = self.on(style, values).mark_line(style=style, clip=True)
        if style != "measured":
            return line.encode(x=self.x("at"), y=self.y("value"))
        x, y = self.defined()
        hover = [
            alt.Tooltip("at:T", title="time", format="%a %H:%M:%S"),
            alt.Tooltip("value:Q", title=self._title, format=",.4~g"),
        ]
        return line.encode(x=x, y=y) + self.on(style, values).mark_point(style="hover", clip=True).encode(
            x=self.x("at"), y=self.y("value"), tooltip=hover
        )

    def limit(self, threshold: Threshold) -> Any:
        value = self.scaled(threshold.value)
        label = f"{threshold.meaning}: {_reading(threshold.value, self.scale)}"
        chart = self.on("limit", [{"value": value, "label": label}]).encode(y=self.y("value"))
        return chart.mark_rule(style="limit") + chart.mark_text(
            style="limit-text", align="left", baseline="bottom", dx=4, dy=-3
        ).encode(x=alt.value(0), text="label:N")

    def moment(self, at: float, label: str, *, align: Literal["left", "right"]) -> Any:
        chart = self.on(label, [{"at": self.ms(at), "label": label}]).encode(x=self.x("at"))
        return chart.mark_rule(style=label) + chart.mark_text(
            style=f"{label}-text", align=align, baseline="bottom", dx=4 if align == "left" else -4, dy=-4
        ).encode(y=alt.value(0), text="label:N")
