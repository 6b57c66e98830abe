"""Charts that the server draws: geometry in SVG coordinates, for the macro `line_chart` in templates/_drawing.html.

What flows in: points in time with their values. What flows out: paths, ticks with labels, and marks. Colours are
classes of the style sheet, so that a chart fits the light and the dark theme. Pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cloud.web.evidence_series import Point
from edge_agent.protocol.wording import number

LEFT, RIGHT, TOP, BOTTOM = 56, 12, 10, 34  # room for the labels
_STEPS_S = (
    60, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200,
    86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000,
)  # fmt: skip
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, and what stands there."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with its interval, as three heights, and what it says."""

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """A chart, ready to be written as SVG."""

    title: str
    unit: str
    width: int
    height: int
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    line: str = ""
    band: str = ""
    marks: tuple[Mark, ...] = ()

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, right, top and bottom of what is drawn inside of the axes."""
        return LEFT, self.width - RIGHT, TOP, self.height - BOTTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """From values to places. `low` and `high` are what the value axis shows."""

    begin: float
    end: float
    low: float
    high: float
    width: int
    height: int

    def x(self, at: float) -> float:
        """Return where an instant is."""
        share = (at - self.begin) / ((self.end - self.begin) or 1)
        return LEFT + share * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return where a value is."""
        share = (value - self.low) / ((self.high - self.low) or 1)
        return TOP + (1 - share) * (self.height - TOP - BOTTOM)

    def x_ticks(self, most: int) -> tuple[Tick, ...]:
        """Return round instants, in UTC."""
        span = self.end - self.begin
        step = next((one for one in _STEPS_S if span / one <= most), _STEPS_S[-1])
        first = math.ceil(self.begin / step) * step
        ticks = [first + step * place for place in range(most + 2) if first + step * place <= self.end]
        return tuple(Tick(self.x(at), _instant(at, step)) for at in ticks)

    def y_ticks(self, most: int) -> tuple[Tick, ...]:
        """Return round values."""
        step = round_step((self.high - self.low) / most)
        first = math.ceil(self.low / step) * step
        values = [first + step * place for place in range(2 * most + 2)]
        return tuple(Tick(self.y(value), number(_clean(value))) for value in values if value <= self.high + step * 1e-6)


def axes_over(
    values: Sequence[float], begin: float, end: float, size: tuple[int, int], floor: float | None = None
) -> Axes:
    """Return axes that show all values with some air around them; `floor` is the least that the axis begins with."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    air = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    bottom = low - air if low < 0 or low - air > 0 else 0.0
    return Axes(
        begin=begin, end=end, low=bottom if floor is None else floor, high=high + air, width=size[0], height=size[1]
    )


def line_path(axes: Axes, points: Sequence[Point]) -> str:
    """Return the path of a line; gaps lift the pen."""
    steps, pen_down = [], False
    for at, value in points:
        if value is not None:
            steps.append(f"{'L' if pen_down else 'M'}{axes.x(at):.1f} {axes.y(value):.1f}")
        pen_down = value is not None
    return "".join(steps)


def band_path(axes: Axes, rows: Sequence[tuple[float, float | None, float | None]]) -> str:
    """Return the path around the area between lows and highs, in one piece for each stretch without a gap."""
    paths: list[str] = []
    stretch: list[tuple[float, float, float]] = []
    for at, low, high in [*rows, (0.0, None, None)]:
        if low is not None and high is not None:
            stretch.append((at, low, high))
            continue
        if len(stretch) > 1:
            above = "L".join(f"{axes.x(at):.1f} {axes.y(high):.1f}" for at, _, high in stretch)
            below = "L".join(f"{axes.x(at):.1f} {axes.y(low):.1f}" for at, low, _ in reversed(stretch))
            paths.append(f"M{above}L{below}Z")
        stretch = []
    return "".join(paths)


def round_step(rough: float) -> float:
    """Return the next of 1, 2, 5, 10, ... above a step."""
    if rough <= 0 or not math.isfinite(rough):
        return 1.0
    size = 10.0 ** math.floor(math.log10(rough))
    return next((size * factor for factor in (1, 2, 5, 10) if rough <= size * factor * 1.0000001), size * 10)


def _clean(value: float) -> float:
    return 0.0 if abs(value) < 1e-12 else float(f"{value:.10g}")


def _instant(at: float, step: float) -> str:
    moment = datetime.fromtimestamp(at, tz=UTC)
    if step >= _STEPS_S[-2]:
        return f"{moment:%b %Y}"
    if step >= _DAY or (moment.hour, moment.minute) == (0, 0):
        return f"{moment.day} {moment:%b}"
    return f"{moment:%H:%M}"
