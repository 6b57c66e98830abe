import pytest

from cloud.web.line_chart import axes_over, band_path, line_path, round_step


@pytest.mark.parametrize(("rough", "step"), [(0.013, 0.02), (1, 1), (23, 50), (0, 1.0), (7e9, 1e10)])
def test_steps_of_an_axis_are_round(rough: float, step: float) -> None:
    assert round_step(rough) == pytest.approx(step)


def test_ticks_are_round_and_within_the_axes() -> None:
    axes = axes_over([3.2, 9.7], 0, 86_400, (400, 200))
    assert [tick.label for tick in axes.x_ticks(5)] == ["1 Jan", "06:00", "12:00", "18:00", "2 Jan"]
    assert {"4", "6", "8", "10"} <= {tick.label for tick in axes.y_ticks(4)}
    assert all(0 <= tick.at <= 200 for tick in axes.y_ticks(4))


def test_a_gap_lifts_the_pen_and_splits_the_band() -> None:
    axes = axes_over([0, 1], 0, 4, (400, 200))
    assert line_path(axes, [(0, 0.0), (1, 1.0), (2, None), (3, 1.0), (4, 0.0)]).count("M") == 2
    rows = [(0, 0.0, 1.0), (1, 0.0, 1.0), (2, None, None), (3, 0.0, 1.0), (4, 0.0, 1.0)]
    assert band_path(axes, rows).count("Z") == 2


def test_one_value_alone_still_has_an_axis() -> None:
    axes = axes_over([5.0], 0, 60, (400, 200))
    assert axes.low < 5.0 < axes.high
    assert len(axes.y_ticks(4)) >= 2
