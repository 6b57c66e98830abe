"""The baseline of each channel."""

import json

import numpy as np
import pytest

from edge_agent.detection.anomaly.baseline import Baseline

STATISTICS = ("row",)


def a_baseline(*, mean_rows: float = 1000.0, spread_rows: float = 1000.0, max_channels: int = 256) -> Baseline:
    return Baseline(STATISTICS, mean_rows=mean_rows, spread_rows=spread_rows, max_channels=max_channels)


def feed(baseline: Baseline, row: dict[str, float]) -> None:
    placed, _ = baseline.place(row)
    away = np.where(baseline.counts > 0, placed - baseline.means, np.nan)
    baseline.learn(placed, away[np.newaxis])


def test_mean_and_deviation_of_a_steady_channel_are_those_of_its_rows() -> None:
    baseline, rng = a_baseline(), np.random.default_rng(1)
    for value in rng.normal(40.0, 3.0, 5000):
        feed(baseline, {"hw.temperature": float(value)})
    assert baseline.means[0] == pytest.approx(40.0, abs=0.5)
    assert baseline.deviations()[0][0] == pytest.approx(3.0, rel=0.1)


def test_the_first_rows_count_as_in_a_plain_average() -> None:
    baseline = a_baseline()
    for value in (1.0, 2.0, 6.0):
        feed(baseline, {"a": value})
    assert baseline.means[0] == pytest.approx(3.0)


def test_the_mean_follows_a_channel_to_its_new_level_within_a_few_half_life_times() -> None:
    baseline = a_baseline(mean_rows=10.0)
    for value in [0.0] * 100 + [8.0] * 50:
        feed(baseline, {"a": value})
    assert baseline.means[0] == pytest.approx(8.0, abs=0.3)


def test_a_constant_channel_has_a_deviation_to_divide_by() -> None:
    baseline = a_baseline()
    for _ in range(50):
        feed(baseline, {"zero": 0.0, "large": 1e9})
    assert (baseline.deviations()[0] > 0).all()
    assert baseline.deviations()[0][1] <= 1.0


def test_a_known_resolution_is_the_least_deviation() -> None:
    baseline = Baseline(STATISTICS, mean_rows=10, spread_rows=10, floor_of={"fan": 1.0}.__getitem__)
    for _ in range(50):
        feed(baseline, {"fan": 1200.0})
    assert baseline.deviations()[0].tolist() == [1.0]


def test_a_missing_channel_learns_nothing_and_a_late_one_starts_afresh() -> None:
    baseline = a_baseline()
    for _ in range(5):
        feed(baseline, {"a": 1.0})
    feed(baseline, {"b": 7.0})
    assert baseline.names == ["a", "b"]
    assert baseline.counts.tolist() == [5.0, 1.0]
    assert baseline.means.tolist() == [1.0, 7.0]


def test_channels_beyond_the_most_are_refused_and_counted() -> None:
    baseline = a_baseline(max_channels=2)
    placed, refused = baseline.place({"a": 1.0, "b": 2.0, "c": 3.0})
    assert (placed.tolist(), refused) == ([1.0, 2.0], 1)


def test_a_state_restored_from_json_continues_identically() -> None:
    rng = np.random.default_rng(2)
    one = a_baseline()
    for value in rng.normal(size=20):
        feed(one, {"a": float(value), "b": float(-value)})
    other = a_baseline()
    other.restore_state(json.loads(json.dumps(one.export_state())))
    for baseline in (one, other):
        feed(baseline, {"b": 3.0, "c": 1.0, "a": 0.5})
    assert other.export_state() == one.export_state()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 99}, "another version"),
        ({"channels": [1, 2]}, "must be a mapping"),
        ({"channels": {"a": [1.0]}}, "must hold 4 numbers"),
        ({"channels": {"a": ["x", 1.0, 1.0, 1.0]}}, "must hold 4 numbers"),
        ({"channels": {"a": [1.0, float("nan"), 1.0, 1.0]}}, "finite"),
        ({"channels": {"a": [1.0, 1.0, -1.0, 1.0]}}, "not negative"),
    ],
)
def test_a_broken_state_is_refused_with_the_reason_and_changes_nothing(change: dict[str, object], reason: str) -> None:
    baseline = a_baseline()
    feed(baseline, {"a": 1.0})
    before = baseline.export_state()
    with pytest.raises(ValueError, match=reason):
        baseline.restore_state(before | change)
    assert baseline.export_state() == before
