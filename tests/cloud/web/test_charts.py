import json
import math
from datetime import timedelta
from typing import Any

import pytest
import vl_convert
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cloud.store.tables import EvidenceRow
from cloud.web.charts import MOST_POINTS, Frame, draw, table
from cloud.web.evidence_series import Curve, Point, path, read_evidence, thin
from edge_agent.protocol.records import Evidence, EvidencePart, Line, Threshold
from tests.builders import an_evidence
from tests.cloud.web.conftest import NOW

points = st.lists(
    st.tuples(st.integers(0, 10_000), st.none() | st.floats(-1e12, 1e12)), unique_by=lambda point: point[0]
).map(sorted)


def a_row(evidence: Evidence, *, late_s: float = 0.0) -> EvidenceRow:
    return EvidenceRow(
        part=evidence.part,
        detected_at=NOW + timedelta(seconds=late_s),
        intact=True,
        body=evidence.model_dump(mode="json"),
    )


def a_curve(**given: Any) -> Curve:
    values = {"metric": "hw.temperature", "unit": "Cel", "points": tuple((100.0 + i, 50.0 + i % 7) for i in range(60))}
    return Curve(**(values | given))


def test_both_halves_are_joined_on_the_clouds_dating_of_the_detection() -> None:
    before = an_evidence(EvidencePart.BEFORE, values=(1.0, 2.0))
    frozen, uptime = before.series[0], before.detected_uptime_s
    followed = frozen.model_copy(update={"uptime_s": (uptime, uptime + 1, uptime + 2), "values": (3.0, None, 5.0)})
    after = before.model_copy(update={"part": EvidencePart.AFTER, "series": (followed,)})
    detected = NOW.timestamp()
    seen = read_evidence([a_row(before), a_row(after, late_s=40)])
    assert seen is not None
    assert seen.curves[0].points == (
        (detected - 2, 1.0),
        (detected - 1, 2.0),
        (detected, 3.0),
        (detected + 1, None),
        (detected + 2, 5.0),
    )


def test_a_counter_is_drawn_as_its_rate_and_a_restart_as_a_gap() -> None:
    evidence = an_evidence(values=(100.0, 110.0, 130.0, 5.0, 6.0))
    series = evidence.series[0].model_copy(update={"metric": "system.disk.io{disk.io.direction=write}"})
    seen = read_evidence([a_row(evidence.model_copy(update={"series": (series,)}))])
    assert seen is not None
    assert (seen.curves[0].unit, [value for _, value in seen.curves[0].points]) == ("By/s", [10.0, 20.0, None, 1.0])


def test_context_series_are_not_drawn() -> None:
    evidence = an_evidence()
    context = evidence.series[0].model_copy(update={"role": "context"})
    assert read_evidence([a_row(evidence.model_copy(update={"series": (context,)}))]) is None
    assert read_evidence([]) is None


@given(points, st.integers(2, 50))
def test_thinning_keeps_the_extremes_and_the_order(many: list[Point], most: int) -> None:
    kept = thin(many, most)
    known = [value for _, value in many if value is not None]
    assert len(kept) <= max(most, 2)
    assert kept == sorted(kept, key=lambda point: point[0])
    assert set(kept) <= set(many)
    if known:
        left = [value for _, value in kept if value is not None]
        assert (min(left), max(left)) == (min(known), max(known))


@given(points)
@example([(0, 0.0), (1, 5e-324)])
@example([(0, -1.7e308), (1, 1.7e308)])
def test_a_sparkline_stays_in_its_frame(many: list[Point]) -> None:
    drawn = path(many, 88, 24)
    assert "nan" not in drawn
    assert "inf" not in drawn
    numbers = [float(number) for number in drawn.replace("M", " ").replace("L", " ").split()]
    assert all(0 <= x <= 88 for x in numbers[0::2])
    assert all(0 <= y <= 24 for y in numbers[1::2])


def test_the_title_describes_what_the_chart_shows() -> None:
    threshold = Threshold(metric="hw.temperature", value=80, meaning="the cores are slowed down")
    frame = Frame(detected=160, now=200, threshold=threshold)
    assert (
        draw(a_curve(), frame, 200).title
        == "Temperature went from 50 to 53 °C in 59 s; the cores are slowed down at 80 °C"
    )
    band = Frame(detected=160, now=200, expected=(40.0, 55.0))
    assert draw(a_curve(), band, 200).title.endswith("; normal for this device is 40 to 55 °C")


def test_the_chart_has_the_limit_the_fitted_line_the_interval_and_both_moments() -> None:
    frame = Frame(
        detected=160,
        now=170,
        threshold=Threshold(metric="hw.temperature", value=80, meaning="too hot"),
        line=Line(metric="hw.temperature", value_at_detection=53, slope_per_s=0.2),
        expected=(40, 55),
        impact=(250, 340),
    )
    chart = draw(a_curve(), frame, 200)
    fitted = chart.spec["datasets"]["fitted"]
    assert fitted[-1] == {"at": 295_000, "value": 80.0}, "the line ends where it meets the limit"
    svg = vl_convert.vegalite_to_svg(chart.spec | {"width": 600})
    assert "too hot: 80 °C" in svg
    assert "NaN" not in svg


@pytest.mark.parametrize(
    "curve",
    [
        a_curve(points=((100.0, 5.0),)),
        a_curve(points=((100.0, 0.0), (101.0, 0.0))),
        a_curve(points=((100.0, None), (101.0, 7.0), (102.0, None))),
        a_curve(points=tuple((float(i), math.sin(i) * 1e12) for i in range(5000)), unit="By"),
    ],
)
def test_odd_curves_are_drawn_too(curve: Curve) -> None:
    frame = Frame(detected=curve.points[-1][0], now=curve.points[-1][0] + 1)
    chart = draw(curve, frame, 200)
    assert "NaN" not in vl_convert.vegalite_to_svg(chart.spec | {"width": 600})
    assert 0 < len(table(curve, frame)) <= 42


def test_the_future_never_squeezes_the_past_into_a_corner() -> None:
    line = Line(metric="hw.temperature", value_at_detection=53, slope_per_s=0.00001)
    threshold = Threshold(metric="hw.temperature", value=80, meaning="too hot")
    chart = draw(a_curve(), Frame(detected=160, now=170, line=line, threshold=threshold), 200)
    fitted = chart.spec["datasets"]["fitted"]
    assert fitted[-1]["at"] / 1000 - 100 < 8.5 * 60


def test_now_is_shown_as_long_as_the_impact_is_ahead_of_it() -> None:
    line = Line(metric="hw.temperature", value_at_detection=53, slope_per_s=0.001)
    threshold = Threshold(metric="hw.temperature", value=80, meaning="too hot")
    predicted = Frame(detected=160, now=20_000, line=line, threshold=threshold)
    assert "now" in draw(a_curve(), predicted, 200).spec["datasets"]
    assert "now" not in draw(a_curve(), Frame(detected=160, now=20_000), 200).spec["datasets"]


numbers = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=30, deadline=None)
@given(
    points=points.filter(lambda many: any(value is not None for _, value in many)),
    values=st.tuples(numbers, numbers, numbers),
    slope=numbers,
    impact=st.none() | st.tuples(st.integers(-10, 10**9), st.integers(0, 10**9)),
    unit=st.sampled_from(["By", "1", "Cel", "{fd}", "By/s", ""]),
)
def test_whatever_a_device_sends_makes_a_chart_that_a_browser_can_read(
    points: list[Point], values: tuple[float, float, float], slope: float, impact: tuple[int, int] | None, unit: str
) -> None:
    curve = a_curve(points=tuple(points), unit=unit)
    frame = Frame(
        detected=5_000,
        now=20_000,
        threshold=Threshold(metric=curve.metric, value=values[0], meaning="m"),
        line=Line(metric=curve.metric, value_at_detection=values[1], slope_per_s=slope),
        expected=(values[1], values[2]),
        impact=impact and (float(impact[0]), float(sum(impact))),
    )
    chart = draw(curve, frame, 200)
    json.dumps(chart.spec, allow_nan=False)
    assert len(chart.spec["datasets"]["measured"]) <= MOST_POINTS
