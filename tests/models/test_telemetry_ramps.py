"""Ramps of telemetry: described as a device would, and nothing of the future is read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_agent.detection.trends.series_past import SeriesPast
from models.datasets import DataError
from models.persistence.telemetry_ramps import (
    BinnedChannel,
    TelemetryRamp,
    channels,
    files,
    find_ramps,
    samples_of,
    telemetry_samples,
)

ROWS = np.cumsum(np.random.default_rng(3).normal(size=(6000, 2)), axis=0)


@pytest.mark.parametrize(("period_s", "end"), [(60.0, 1), (60.0, 5), (60.0, 301), (60.0, 6000), (300.0, 2999)])
def test_the_past_of_a_whole_channel_is_that_of_a_device(period_s: float, end: int) -> None:
    device = SeriesPast()
    for place in range(end):
        device.add(place * period_s, float(ROWS[place, 0]))
    found, expected = BinnedChannel(ROWS[:, 0], period_s).past(end), device.past()
    for one, other in ((found.fine, expected.fine), (found.coarse, expected.coarse)):
        assert (one.low == other.low).all()
        assert (one.high == other.high).all()
        assert (one.last == other.last).all()


def some_ramps() -> list[TelemetryRamp]:
    return find_ramps(ROWS, 60.0, "smd/one.npz", 200, np.random.default_rng(1))


def test_ramps_head_for_their_limit_and_both_outcomes_occur() -> None:
    ramps = some_ramps()
    assert {ramp.reaches for ramp in ramps} == {True, False}
    assert {ramp.up for ramp in ramps} == {True, False}
    for ramp in ramps:
        now = ROWS[ramp.end - 1, ramp.channel]
        assert (ramp.limit > now) == ramp.up or abs(ramp.limit - now) < 2


def test_rows_after_the_ramp_change_nothing() -> None:
    ramp = some_ramps()[0]
    changed = ROWS.copy()
    changed[ramp.end :] = 1e6
    assert (samples_of([ramp], ROWS, 60.0).features == samples_of([ramp], changed, 60.0).features).all()


def test_a_fall_is_described_as_the_rise_of_the_negative_series() -> None:
    ramp = next(ramp for ramp in some_ramps() if not ramp.up)
    rise = replace(ramp, up=True, limit=-ramp.limit)
    fall, same = samples_of([ramp], ROWS, 60.0), samples_of([rise], -ROWS, 60.0)
    assert fall.features == pytest.approx(same.features)


def test_samples_of_a_folder_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    (tmp_path / "smd").mkdir()
    np.savez(tmp_path / "smd" / "one.npz", train=ROWS[:3000], test=ROWS[3000:])
    first, again = (telemetry_samples(tmp_path, 30, 5) for _ in range(2))
    assert len(first) > 10
    assert (first.features == again.features).all()
    assert set(first.group.tolist()) == {"smd/one.npz"}


def test_unusable_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no smd/, asd/ or js2/"):
        files(tmp_path)
    with pytest.raises(DataError, match=r"one.npz: can't be read .*--data"):
        channels(tmp_path, "smd/one.npz")
