"""Aggregates: min, mean and max of each minute, handed over in batches."""

import numpy as np

from edge_agent.aggregates import Aggregates
from tests.builders import an_instant


def test_each_minute_becomes_its_min_mean_and_max() -> None:
    aggregates = Aggregates(rows=2)
    batches = [aggregates.step({"hw.temperature": 40.0 + t % 60}, an_instant(t)) for t in range(121)]
    assert [t for t, batch in enumerate(batches) if batch] == [120]
    batch = batches[120]
    assert batch is not None
    assert batch.start == an_instant(0)
    assert {column.aggregate: column.values.tolist() for column in batch.columns} == {
        "min": [40.0, 40.0],
        "mean": [69.5, 69.5],
        "max": [99.0, 99.0],
    }


def test_a_series_that_was_away_is_missing_and_a_gap_in_time_does_not_shift_the_rest() -> None:
    aggregates = Aggregates(rows=4)
    for t in [*range(60), *range(180, 240)]:
        values = {"a": 1.0} if t < 60 else {"a": 3.0, "b": 5.0}
        assert aggregates.step(values, an_instant(t)) is None
    batch = aggregates.step({}, an_instant(240))
    assert batch is not None
    means = {column.series: column.values for column in batch.columns if column.aggregate == "mean"}
    np.testing.assert_array_equal(means["a"], [1.0, np.nan, np.nan, 3.0])
    np.testing.assert_array_equal(means["b"], [np.nan, np.nan, np.nan, 5.0])


def test_what_is_complete_is_handed_over_on_a_stop() -> None:
    aggregates = Aggregates(rows=15)
    for t in range(150):
        aggregates.step({"a": 1.0}, an_instant(t))
    batch = aggregates.finish()
    assert batch is not None
    assert len(batch.columns[0].values) == 2
    assert aggregates.finish() is None
