"""The classifier: moved bars, reproducible training, and a comparison that refuses a network without a gain."""

import numpy as np
import pytest

from models.dense_network import logistic
from models.machine.classifier_training import (
    Comparison,
    Watched,
    compare,
    moved,
    smoothed,
    train,
)
from models.machine.figures import Figures


def an_episode(seed: int, rows: int = 400) -> Watched:
    """A fault from the middle on that shows in the first feature, and that the statistics find late."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) >= rows // 2
    features = rng.standard_normal((rows, 4))
    features[:, 0] += 4.0 * labels
    scores = np.where(np.arange(rows) >= 3 * rows // 4, 2.0, 0.2)
    return Watched(name=str(seed), features=features, labels=labels, scores=scores)


EPISODES = [an_episode(seed) for seed in range(8)]


def figures_with(f1: float) -> Figures:
    return Figures(experiments=1, f1=f1, false_share=0.0, missed_share=0.0, found=1, delay_s=1.0, false_per_hour=0.0)


def test_training_twice_gives_the_same_weights() -> None:
    first, second = (train(EPISODES, (4,), [0]) for _ in range(2))

    for (kernel, bias), (other_kernel, other_bias) in zip(
        first.networks[0].layers, second.networks[0].layers, strict=True
    ):
        np.testing.assert_array_equal(kernel, other_kernel)
        np.testing.assert_array_equal(bias, other_bias)


def test_a_moved_network_has_its_bar_at_a_half() -> None:
    network = train(EPISODES, (4,), [0, 1])
    features = EPISODES[0].features

    before, after = (logistic(one.logits(features)) for one in (network, moved(network, 0.8)))

    np.testing.assert_array_equal(before > 0.8, after > 0.5)


def test_a_network_that_sees_more_than_the_statistics_finds_faults_sooner() -> None:
    found = compare(EPISODES)

    assert all(one.f1 > found.statistics.f1 and one.delay_s < found.statistics.delay_s for one in found.network)


@pytest.mark.parametrize(
    ("statistics", "regression", "network", "worth_it"),
    [
        (0.8, (0.81, 0.82, 0.8), (0.83, 0.83, 0.83), True),
        (0.8, (0.81, 0.84, 0.8), (0.83, 0.83, 0.83), False),
        (0.9, (0.81, 0.82, 0.8), (0.83, 0.83, 0.83), False),
    ],
)
def test_a_network_is_worth_it_only_if_it_beats_both_at_every_seed(
    statistics: float, regression: tuple[float, ...], network: tuple[float, ...], worth_it: bool
) -> None:
    found = Comparison(
        statistics=figures_with(statistics),
        regression=tuple(map(figures_with, regression)),
        network=tuple(map(figures_with, network)),
        bar=0.5,
    )

    assert found.worth_it is worth_it


def test_probabilities_are_the_mean_of_ten_seconds() -> None:
    assert smoothed(np.ones(12)).tolist() == pytest.approx([*(np.arange(1, 11) / 10), 1.0, 1.0])
