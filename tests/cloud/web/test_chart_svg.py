"""The chart that the server draws has all that the interactive one has, and stays in its frame."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.web.chart_svg import WIDTH, Drawing, drawing
from cloud.web.charts import Frame
from cloud.web.evidence_series import Curve, Point
from edge_agent.protocol.records import Line, Threshold
from tests.cloud.web.test_charts import a_curve, numbers, points

FRAME = Frame(
    detected=160,
    now=170,
    threshold=Threshold(metric="hw.temperature", value=80, meaning="too hot"),
    line=Line(metric="hw.temperature", value_at_detection=53, slope_per_s=0.2),
    expected=(40, 55),
    impact=(250, 340),
)


def texts(drawn: Drawing, style: str) -> list[str]:
    return [caption.text for caption in drawn.captions if caption.style == style]


def test_it_has_axes_with_units_the_limit_the_normal_range_the_fitted_line_and_both_moments() -> None:
    drawn = drawing(a_curve(), FRAME, 260)
    assert {area.style for area in drawn.areas} == {"expected", "impact"}
    assert {rule.style for rule in drawn.rules} == {"grid", "axis", "fitted", "limit", "detected", "now"}
    axes = texts(drawn, "axis-text")
    assert axes[0] == "°C"
    assert {"40", "60", "80"} <= set(axes)
    assert axes[-1] == "time, UTC, from Thu 01 Jan 1970"
    assert [text for text in axes if ":" in text] == ["00:02", "00:03", "00:04", "00:05"]
    assert texts(drawn, "limit-text") == ["too hot: 80 °C"]
    assert (texts(drawn, "detected-text"), texts(drawn, "now-text")) == (["detected"], ["now"])


def test_the_limit_lies_where_the_fitted_line_ends_and_above_the_readings() -> None:
    drawn = drawing(a_curve(), FRAME, 260)
    lines = {rule.style: rule for rule in drawn.rules}
    assert lines["fitted"].y2 == lines["limit"].y1
    highest = min(float(step.split()[1]) for step in drawn.measured.removeprefix("M").split("L"))
    assert lines["limit"].y1 < highest
    assert lines["detected"].x1 < lines["now"].x1


def test_a_gap_lifts_the_pen_and_a_lonely_reading_is_a_dot() -> None:
    curve = a_curve(points=((0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, 3.0), (4.0, None), (5.0, 1.0), (6.0, 2.0)))
    drawn = drawing(curve, replace(FRAME, detected=6, now=7, threshold=None, line=None, impact=None), 200)
    assert drawn.measured.count("M") == 2
    assert len(drawn.dots) == 1


@settings(max_examples=60)
@given(
    points=points.filter(lambda many: any(value is not None for _, value in many)),
    values=st.tuples(numbers, numbers, numbers, numbers),
    impact=st.none() | st.tuples(st.integers(-10, 10**9), st.integers(0, 10**9)),
    unit=st.sampled_from(["By", "1", "Cel", "{fd}", ""]),
)
def test_whatever_a_device_sends_is_drawn_inside_of_the_frame(
    points: list[Point], values: tuple[float, float, float, float], impact: tuple[int, int] | None, unit: str
) -> None:
    curve = Curve(metric="hw.temperature", unit=unit, points=tuple(points))
    frame = Frame(
        detected=5_000,
        now=20_000,
        threshold=Threshold(metric=curve.metric, value=values[0], meaning="m"),
        line=Line(metric=curve.metric, value_at_detection=values[1], slope_per_s=values[3]),
        expected=(values[1], values[2]),
        impact=impact and (float(impact[0]), float(sum(impact))),
    )
    drawn = drawing(curve, frame, 200)
    steps = [step.split() for run in drawn.measured.split("M")[1:] for step in run.split("L")]
    places = [(float(x), float(y)) for x, y in steps] + [*drawn.dots]
    places += [place for rule in drawn.rules for place in ((rule.x1, rule.y1), (rule.x2, rule.y2))]
    places += [(area.x + area.width, area.y + area.height) for area in drawn.areas]
    assert all(math.isfinite(x) and math.isfinite(y) for x, y in places)
    assert all(0 <= x <= WIDTH and 0 <= y <= 200 for x, y in places)
    assert len(drawn.captions) < 40


@pytest.mark.parametrize("seconds", [2, 90, 3600, 86_400, 40 * 86_400])
def test_times_are_named_at_every_scale(seconds: int) -> None:
    curve = a_curve(points=tuple((1e9 + i * seconds / 60, float(i)) for i in range(61)))
    drawn = drawing(curve, Frame(detected=1e9 + seconds, now=2e9), 200)
    named = [each for each in drawn.captions if each.style == "axis-text" and each.anchor == "middle"]
    assert 1 <= len(named) <= 7
    assert all(later.x - earlier.x > 50 for earlier, later in pairwise(named))
