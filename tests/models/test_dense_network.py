"""Dense networks: trained from a seed, stopped early."""

import numpy as np
import pytest

from edge_agent.detection.network import Array
from models.dense_network import (
    DenseNetwork,
    Examples,
    Loss,
    Training,
    _gradients,
    average,
    logistic,
    loss_of,
    train_dense,
)  # fmt: skip
from tests.models.networks import a_network


def some_examples(n: int, seed: int) -> Examples:
    """Two features; the target is whether they have the same sign, which no linear model knows."""
    inputs = np.random.default_rng(seed).normal(size=(n, 2))
    return Examples(inputs=inputs, targets=(inputs[:, :1] * inputs[:, 1:] > 0).astype(float))


def test_a_network_learns_what_is_not_linear_and_the_same_seed_gives_the_same_weights() -> None:
    training = Training(hidden=(12,), seed=3, epochs=60, learning_rate=1e-2)
    first, again = (train_dense(some_examples(2000, 1), some_examples(500, 2), training) for _ in range(2))
    truth = some_examples(500, 4)
    right = ((logistic(first.run(truth.inputs)) > 0.5) == truth.targets).mean()
    assert right > 0.9
    assert first.weights == 2 * 12 + 12 + 12 + 1
    assert all(
        (one == other).all()
        for pairs in zip(first.layers, again.layers, strict=True)
        for one, other in zip(*pairs, strict=True)
    )


@pytest.mark.parametrize("loss", Loss)
def test_gradients_are_those_of_the_loss(loss: Loss) -> None:
    network, rng = a_network(3, outputs=2), np.random.default_rng(0)
    weight = rng.uniform(0.5, 2, 5)
    examples = Examples(inputs=rng.normal(size=(5, 3)), targets=rng.uniform(0, 1, (5, 2)))
    gradient = _gradients(network, examples.inputs, examples.targets, weight, loss)[0][0]
    step = 1e-6
    for place in [(0, 0), (2, 3)]:
        kernel = network.layers[0][0].copy()
        kernel[place] += step
        changed = DenseNetwork(((kernel, network.layers[0][1]), network.layers[1]))
        total = [weight.sum() / 5 * loss_of(one, _weighted(examples, weight), loss) for one in (network, changed)]
        assert gradient[place] == pytest.approx((total[1] - total[0]) / step, rel=1e-3, abs=1e-6)


def _weighted(examples: Examples, weight: Array) -> Examples:
    return Examples(inputs=examples.inputs, targets=examples.targets, weight=weight)


def test_training_ends_when_the_validation_gets_no_better() -> None:
    noise = Examples(inputs=np.random.default_rng(1).normal(size=(64, 2)), targets=np.ones((64, 1)))
    opposite = Examples(inputs=noise.inputs, targets=np.zeros((64, 1)))
    training = Training(hidden=(4,), seed=1, epochs=10_000, patience=2)
    network = train_dense(noise, opposite, training)
    assert loss_of(network, opposite, Loss.LOGISTIC) < 2


def test_an_average_of_networks_is_the_mean_of_their_outputs() -> None:
    values = np.ones((3, 2))
    one, other = a_network(2, seed=1), a_network(2, seed=2)
    assert average([one, other], values) == pytest.approx((one.run(values) + other.run(values)) / 2)
