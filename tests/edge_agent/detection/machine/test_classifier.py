"""A classifier beside the statistics: its probability opens an alarm that they do not open, and can't suppress one."""

import numpy as np
import pytest

from edge_agent.detection.machine import Machine, MachineSettings
from edge_agent.detection.machine.classifier import MOST, SMOOTH_S, feature_names, features_of, probability_of
from edge_agent.detection.machine.statistics import LONGEST_S, STATISTICS, Array
from tests.edge_agent.detection.machine.pumps import CHANNELS, START_S, feed, healthy_rows


class FixedNetwork:
    """A network that returns the same logit whatever it is given."""

    name = "fixed-1"
    features = feature_names(tuple(CHANNELS))

    def __init__(self, logit: float) -> None:
        self.logit = logit
        self.inputs: list[Array] = []

    def run(self, values: Array) -> Array:
        self.inputs.append(values)
        return np.full((len(values), 1), self.logit)


def a_machine(logit: float) -> tuple[Machine, FixedNetwork]:
    network = FixedNetwork(logit)
    machine = Machine(MachineSettings(name="pump", channels=CHANNELS, start_s=START_S), network)
    feed(machine, healthy_rows(START_S))
    return machine, network


def test_a_fault_that_only_the_network_recognises_opens_the_alarm() -> None:
    machine, network = a_machine(3.0)

    verdicts = feed(machine, healthy_rows(LONGEST_S + 60, seed=2), START_S)

    assert not any(verdicts[:LONGEST_S])
    assert len(network.inputs) == 61, "it was trained on full windows"
    verdict = verdicts[-1]
    assert verdict is not None
    assert "The trained network recognises a fault (95%)." in verdict.reason


@pytest.mark.parametrize("logit", [-3.0, float("nan")])
def test_a_network_that_finds_nothing_or_is_unusable_changes_nothing(logit: float) -> None:
    machine, _ = a_machine(logit)
    assert not any(feed(machine, healthy_rows(LONGEST_S + 60, seed=2), START_S))

    rows = healthy_rows(60, seed=3)
    rows[:, 0] -= 2.0

    verdict = feed(machine, rows, START_S + LONGEST_S + 60)[-1]
    assert verdict is not None
    assert "network" not in verdict.reason


def test_it_sees_each_statistic_of_each_channel_once_a_second() -> None:
    machine, network = a_machine(-3.0)
    feed(machine, healthy_rows(LONGEST_S + 60, seed=2), START_S)

    assert len(feature_names(tuple(CHANNELS))) == STATISTICS * len(CHANNELS)
    assert {values.shape for values in network.inputs} == {(1, STATISTICS * len(CHANNELS))}
    assert all(np.isfinite(values).all() for values in network.inputs)


def test_features_keep_the_sign_and_are_bounded() -> None:
    departures = np.array([[-1.0, 2.0], [1e9, -1e9]])

    features = features_of(departures)

    assert np.sign(features).tolist() == [-1, 1, 1, -1]
    assert features.max() == pytest.approx(np.log1p(MOST))


def test_probabilities_of_extreme_logits_are_finite() -> None:
    assert probability_of(0.0) == 0.5
    assert 0 < probability_of(-1e9) < 1e-9 < 1 - 1e-9 < probability_of(1e9) <= 1
    assert SMOOTH_S == 10
