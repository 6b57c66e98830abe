"""Telemetry batches: mean, minimum and maximum of five minutes, or every reading."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.protocol import telemetry
from edge_agent.protocol.metrics import metric_of
from edge_agent.protocol.telemetry import Batch
from edge_agent.resource_budget import DegradationLevel as Level
from edge_agent.telemetry_batches import (
    AGGREGATE_MIN,
    SPARSE_BATCH_MIN,
    Aggregates,
    Batcher,
    Readings,
    Telemetry,
    batcher,
)
from tests.builders import an_instant


def fed(batcher: Batcher, *times_s: float, series: str = "hw.temperature") -> list[Batch]:
    """Give a reading of 1, 2, 3 ... at each time and stop; return the batches."""
    given = [batcher.step({series: 1.0 + number}, an_instant(at_s)) for number, at_s in enumerate(times_s)]
    return [batch for batch in (*given, batcher.finish()) if batch]


def values(batch: Batch) -> list[list[float]]:
    return [column.values.tolist() for column in batch.columns]


def test_each_five_minutes_become_their_mean_minimum_and_maximum() -> None:
    aggregates = Aggregates(rows=2)
    batches = [aggregates.step({"hw.temperature": 40.0 + t % 300}, an_instant(t)) for t in range(601)]
    assert [t for t, batch in enumerate(batches) if batch] == [600]
    batch = batches[600]
    assert batch is not None
    assert (batch.start, batch.period_s) == (an_instant(0), 300.0)
    assert {column.aggregate: column.values.tolist() for column in batch.columns} == {
        "mean": [189.5, 189.5],
        "min": [40.0, 40.0],
        "max": [339.0, 339.0],
    }


def test_a_gap_of_a_series_is_missing_values_and_a_gap_in_time_does_not_shift_the_rest() -> None:
    aggregates = Aggregates(rows=4)
    for t in [*range(300), *range(900, 1200)]:
        features = {"a": 1.0} if t < 300 else {"a": 3.0, "b": 5.0}
        assert aggregates.step(features, an_instant(t)) is None
    batch = aggregates.step({}, an_instant(1200))
    assert batch is not None
    means = {column.series: column.values for column in batch.columns if column.aggregate == "mean"}
    np.testing.assert_array_equal(means["a"], [1.0, np.nan, np.nan, 3.0])
    np.testing.assert_array_equal(means["b"], [np.nan, np.nan, np.nan, 5.0])


def test_complete_periods_are_returned_on_a_stop() -> None:
    (batch,) = fed(Aggregates(rows=15), *range(750))
    assert len(batch.columns[0].values) == 2
    assert Aggregates(rows=15).finish() is None


def test_every_reading_is_there_at_full_rate() -> None:
    batches = fed(Readings(rows=3, period_s=1.0), *range(7))
    assert [values(batch) for batch in batches] == [[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]], [[7.0]]]
    assert [batch.start for batch in batches] == [an_instant(0), an_instant(3), an_instant(6)]
    assert (batches[0].columns[0].aggregate, batches[0].period_s) == ("last", 1.0)


def test_a_skipped_sample_is_a_row_without_values() -> None:
    (batch,) = fed(Readings(rows=9, period_s=1.0), 0, 1.1, 3.9)
    np.testing.assert_array_equal(batch.columns[0].values, [1.0, 2.0, np.nan, np.nan, 3.0])


def test_after_a_long_suspend_another_batch_starts() -> None:
    batches = fed(Readings(rows=5, period_s=1.0), 0, 1, 90_000, 90_001)
    assert [values(batch) for batch in batches] == [[[1.0, 2.0]], [[3.0, 4.0]]]
    assert batches[1].start == an_instant(90_000)


def test_a_device_of_thousands_of_series_sends_shorter_batches() -> None:
    wide = {f"s{number}": 1.0 for number in range(1300)}
    readings, aggregates = Readings(rows=900, period_s=1.0), Aggregates(rows=288)
    full = [batch for t in range(200) if (batch := readings.step(wide, an_instant(t)))]
    frugal = [batch for t in range(0, 18_000, 300) if (batch := aggregates.step(wide, an_instant(t)))]
    for batch in (*full, *frugal):
        telemetry.pack(batch)
    assert {len(batch.columns[0].values) for batch in full} == {telemetry.MAX_CELLS // 1300}
    assert {len(batch.columns[0].values) for batch in frugal} == {telemetry.MAX_CELLS // 3900}


@given(st.lists(st.floats(0.1, 5.0), min_size=1, max_size=40), st.integers(1, 7))
def test_no_reading_is_lost_or_duplicated_however_late_or_early_it_is(gaps_s: list[float], rows: int) -> None:
    times_s = np.cumsum(gaps_s).tolist()
    decoded = []
    for batch in fed(Readings(rows=rows, period_s=1.0), *times_s):
        (column,) = batch.columns
        assert len(column.values) <= rows
        for row, value in enumerate(column.values):
            if not np.isnan(value):
                decoded.append(value)
                at_s = batch.start.uptime_s + row
                assert abs(at_s - 3600 - times_s[int(value) - 1]) <= 0.5 + 1e-6
    assert decoded == [1.0 + number for number in range(len(times_s))]


def test_a_metric_too_large_for_its_resolution_gets_a_coarser_one() -> None:
    (batch,) = fed(Readings(rows=2, period_s=1.0), 0, series="custom.bytes")
    assert batch.columns[0].resolution == 1e-6
    readings = Readings(rows=2, period_s=1.0)
    readings.step({"custom.bytes": 1e12}, an_instant(0))
    large = readings.step({"custom.bytes": -1e13}, an_instant(1))
    assert large is not None
    (back,) = telemetry.unpack(telemetry.pack(large)).columns
    assert back.resolution == 0.01
    assert back.values.tolist() == pytest.approx([1e12, -1e13], abs=0.01)


@given(st.floats(-1e15, 1e15), st.sampled_from(["custom.bytes", "system.memory.limit", "system.cpu.utilization"]))
def test_an_aggregate_is_precise_to_a_thousandth_of_the_largest_or_to_its_resolution(value: float, series: str) -> None:
    aggregates = Aggregates(rows=1)
    aggregates.step({series: value}, an_instant(0))
    batch = aggregates.step({}, an_instant(300))
    assert batch is not None
    for column in telemetry.unpack(telemetry.pack(batch)).columns:
        assert column.values[0] == pytest.approx(value, rel=5.1e-4, abs=0.51 * metric_of(series).resolution)


def test_a_rate_has_the_unit_of_a_rate() -> None:
    (batch,) = fed(Readings(rows=1, period_s=1.0), 0, series="system.disk.io{disk.io.direction=read}")
    assert batch.columns[0].unit == "By/s"


@pytest.mark.parametrize(
    ("profile", "minutes", "expected"),
    [
        ("findings-only", 60, None),
        ("frugal", 0, Aggregates(rows=60 // AGGREGATE_MIN)),
        ("frugal", 15, Aggregates(rows=3)),
        ("full", 0, Readings(rows=120, period_s=0.5)),
        ("full", 10, Readings(rows=1200, period_s=0.5)),
    ],
)
def test_a_profile_selects_its_batcher(profile: str, minutes: int, expected: Batcher | None) -> None:
    assert batcher(profile, minutes, 0.5) == expected


def test_a_degradation_level_selects_its_batcher() -> None:
    sent, batchers = Telemetry("full", 1, 1.0), []
    for level in (Level.SLOW_SAMPLING, Level.SPARSE_TELEMETRY, Level.FINDINGS_ONLY, Level.NORMAL):
        assert sent.change_level(level) == [], "the batch holds no sample"
        batchers.append(sent._batcher)
    assert batchers == [
        Readings(rows=15, period_s=4.0),
        Aggregates(rows=SPARSE_BATCH_MIN // AGGREGATE_MIN),
        None,
        Readings(rows=60, period_s=1.0),
    ]


def test_a_change_of_the_degradation_level_finishes_the_batch() -> None:
    sent = Telemetry("full", 1, 1.0)
    assert [sent.step({"hw.temperature": 40.0}, an_instant(t)) for t in range(3)] == [[], [], []]
    assert sent.numbers_ahead == 360
    (batch,) = sent.change_level(Level.FINDINGS_ONLY)
    assert values(telemetry.unpack(batch)) == [[40.0, 40.0, 40.0]]
    assert (sent.numbers_ahead, sent.step({"hw.temperature": 40.0}, an_instant(9))) == (0, [])


def test_no_degradation_level_adds_telemetry_to_the_profile_without_any() -> None:
    sent = Telemetry("findings-only", 0, 1.0)
    for level in Level:
        sent.change_level(level)
        assert sent.numbers_ahead == 0
