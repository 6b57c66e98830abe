"""Ramps of scenarios: what the trends ask becomes a row with the truth, and the group is the family."""

import numpy as np
import pytest

from edge_agent.detection.trends.persistence_features import FEATURES
from models.persistence import scenario_ramps
from models.persistence.scenario_ramps import MOST_ROWS, RecordingNetwork, samples_of, scenario_samples
from models.persistence.telemetry_ramps import Samples
from models.scenarios.scenario import Scenario
from models.scenarios.timeline import HOUR_S, Reboot
from tests.models.scenarios.scenarios import a_full_disk, a_scenario, filling


def sampled(scenario: Scenario) -> Samples:
    samples = samples_of(scenario)
    assert samples is not None
    return samples


def test_the_ramps_of_a_disk_that_fills_come_true() -> None:
    samples = sampled(a_full_disk())

    assert samples.features.shape == (len(samples), len(FEATURES))
    assert 3 <= len(samples) <= MOST_ROWS
    assert np.isfinite(samples.features).all()
    assert samples.reaches[-1]
    assert samples.reaches.mean() > 0.7
    assert set(samples.group) == {"test"}
    assert samples.new_ground.all()


def test_the_same_rise_that_ends_by_itself_does_not_come_true() -> None:
    samples = sampled(a_scenario(filling(lowest=0.5)))

    assert not samples.reaches.any()


def test_a_scenario_without_a_ramp_has_no_samples() -> None:
    assert samples_of(a_scenario(np.full(240, 6.0))) is None


def test_the_rows_of_one_quantity_are_bounded_and_keep_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    every = sampled(a_full_disk())
    monkeypatch.setattr(scenario_ramps, "MOST_ROWS", 3)

    few = sampled(a_full_disk())

    assert len(few) <= 3 < len(every)
    assert (few.features == every.features[0]).all(axis=1).any()


def test_a_reboot_neither_ends_the_sampling_nor_loses_the_truth() -> None:
    scenario = a_full_disk()
    rebooted = a_scenario(
        filling(), impacts=scenario.impacts, reboots=(Reboot(begin_s=3 * HOUR_S, end_s=3 * HOUR_S + 90.0),)
    )

    samples = sampled(rebooted)

    assert samples.reaches.any()


def test_families_without_samples_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    built = {"full": a_full_disk(), "flat": a_scenario(np.full(240, 6.0))}
    monkeypatch.setattr(scenario_ramps, "build", lambda family, _seed: built[family])

    assert len(list(scenario_samples(["flat", "full", "flat"], [1, 2]))) == 2


def test_the_recording_network_answers_that_all_is_unlikely_and_keeps_what_it_was_asked() -> None:
    network = RecordingNetwork()
    rows = np.arange(6.0).reshape(2, 3)

    assert (network.run(rows) == -10.0).all()
    assert [row.tolist() for row in network.asked] == rows.tolist()
