from datetime import timedelta

import numpy as np

from cloud.web.telemetry_chart import chart_of, series_in
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.telemetry import Batch, Column, pack
from tests.builders import NOON, an_id

HEAT = "hw.temperature{hw.name=cpu}"
BEGIN, END = NOON.timestamp(), (NOON + timedelta(hours=3)).timestamp()


def a_batch(values: list[float], *aggregates: str, period_s: float = 300.0) -> bytes:
    start = Instant(boot_id=an_id(1), uptime_s=1.0, wall=NOON, synced=True)
    columns = [
        Column(series=HEAT, aggregate=name, unit="Cel", resolution=0.1, values=np.array(values, np.float64) + shift)
        for shift, name in enumerate(aggregates)
    ]
    return pack(Batch(start=start, period_s=period_s, columns=tuple(columns)))


def test_means_are_the_line_and_the_lowest_and_highest_are_the_band() -> None:
    body = a_batch([40.0, 50.0, float("nan"), 45.0], "mean", "min", "max")
    chart = chart_of(HEAT, [(NOON, body)], BEGIN, END)
    assert chart
    assert chart.drawn.title == "Temperature (cpu): 40 to 50 °C"
    assert chart.drawn.line.count("M") == 2, "a missing reading is a gap"
    assert chart.has_range
    assert chart.drawn.band
    assert chart.readings == 3
    assert chart.rows[0][1:] == ("40 °C", "41 to 42 °C")
    assert chart.spec["datasets"]["series"][1] == {
        "at": round((BEGIN + 300) * 1000),
        "value": 50.0,
        "low": 51.0,
        "high": 52.0,
    }


def test_batches_are_joined_and_a_missing_batch_is_a_gap() -> None:
    body = a_batch([1.0, 2.0], "last", period_s=1.0)
    chart = chart_of(
        HEAT, [(NOON, body), (NOON + timedelta(seconds=2), body), (NOON + timedelta(seconds=60), body)], BEGIN, END
    )
    assert chart
    assert chart.drawn.line.count("M") == 2
    assert (chart.readings, chart.has_range, chart.drawn.band) == (6, False, "")


def test_only_what_is_in_the_period_is_drawn_and_nothing_is_no_chart() -> None:
    body = a_batch([1.0, 2.0, 3.0], "last")
    chart = chart_of(HEAT, [(NOON, body)], BEGIN + 299, END)
    assert chart
    assert chart.readings == 2
    assert chart_of(HEAT, [(NOON, body)], BEGIN + 10_000, END) is None
    assert chart_of("no.such", [(NOON, body)], BEGIN, END) is None


def test_a_batch_that_cannot_be_unpacked_is_counted_and_left_out() -> None:
    chart = chart_of(HEAT, [(NOON, b"no batch"), (NOON, a_batch([1.0], "last"))], BEGIN, END)
    assert chart
    assert chart.unreadable == 1
    assert (series_in(b"no batch"), series_in(a_batch([1.0], "last"))) == ((), (HEAT,))
