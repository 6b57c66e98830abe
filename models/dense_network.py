"""Dense networks in plain numpy: trained with a seed, and the reference in floating point for what int8 loses.

What flows in: examples (n, features) that are scaled, targets (n, outputs) and a seed. What flows out: a DenseNetwork.
The same examples and seed give the same weights. Adam: Kingma and Ba, ICLR 2015.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from edge_agent.detection.network import Array

RELU_MOST = 6.0  # ReLU6: a bounded range loses least in int8
_BETA, _BETA_SQUARE, _EPSILON = 0.9, 0.999, 1e-7
_Layers = tuple[tuple[Array, Array], ...]


class Loss(StrEnum):
    """What is minimised."""

    LOGISTIC = "logistic"  # cross-entropy; the outputs are logits
    SQUARED = "squared"  # squared error; the outputs are values


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The settings of a training."""

    hidden: tuple[int, ...]
    seed: int
    loss: Loss = Loss.LOGISTIC
    epochs: int = 200
    patience: int = 15  # epochs without a better validation loss, after which the best weights are taken
    batch: int = 256
    learning_rate: float = 2e-3
    decay: float = 1e-4  # of the weights, for each unit of learning rate (AdamW)
    dropout: float = 0.0  # share of the inputs that are set to 0 (their mean) in each batch


@dataclass(frozen=True, slots=True)
class DenseNetwork:
    """Kernel (inputs, outputs) and bias (outputs,) of each layer; ReLU6 between them, nothing at the end."""

    layers: _Layers

    @property
    def weights(self) -> int:
        """Number of weights and biases."""
        return sum(kernel.size + bias.size for kernel, bias in self.layers)

    def run(self, values: Array) -> Array:
        """Return the outputs of scaled inputs: (n, inputs) to (n, outputs)."""
        for kernel, bias in self.layers[:-1]:
            values = np.clip(values @ kernel + bias, 0.0, RELU_MOST)
        kernel, bias = self.layers[-1]
        outputs: Array = values @ kernel + bias
        return outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Scaled inputs (n, features), targets (n, outputs), and the weight of each example (n,), None where equal."""

    inputs: Array
    targets: Array
    weight: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs)


def train_dense(examples: Examples, validation: Examples, training: Training) -> DenseNetwork:
    """Train a network, and return the weights of the epoch with the least loss on `validation`."""
    rng = np.random.default_rng(training.seed)
    network = _initial((examples.inputs.shape[1], *training.hidden, examples.targets.shape[1]), rng)
    optimiser = _Adam(network, training)
    best, least, since = network, np.inf, 0
    for _ in range(training.epochs):
        order = rng.permutation(len(examples))
        for start in range(0, len(order), training.batch):
            network = optimiser.step(network, *_batch(examples, order[start : start + training.batch], training, rng))
        loss = loss_of(network, validation, training.loss)
        best, least, since = (network, loss, 0) if loss < least else (best, least, since + 1)
        if since >= training.patience:
            break
    return best


def average(networks: Sequence[DenseNetwork], values: Array) -> Array:
    """Return the mean of the outputs of several networks."""
    outputs: Array = np.mean([network.run(values) for network in networks], axis=0)
    return outputs


def logistic(logits: Array) -> Array:
    """Return the probability of each logit."""
    probabilities: Array = 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
    return probabilities


def loss_of(network: DenseNetwork, examples: Examples, loss: Loss) -> float:
    """Return the mean loss over examples."""
    outputs = network.run(examples.inputs)
    if loss is Loss.LOGISTIC:
        each = (np.logaddexp(0, outputs) - examples.targets * outputs).mean(axis=1)
    else:
        each = ((outputs - examples.targets) ** 2).mean(axis=1)
    return float(np.average(each, weights=examples.weight))


def _initial(widths: Sequence[int], rng: np.random.Generator) -> DenseNetwork:
    """Glorot's uniform weights, and no bias."""
    layers = []
    for inputs, outputs in pairwise(widths):
        reach = np.sqrt(6 / (inputs + outputs))
        layers.append((rng.uniform(-reach, reach, (inputs, outputs)), np.zeros(outputs)))
    return DenseNetwork(tuple(layers))


def _batch(
    examples: Examples, picked: npt.NDArray[np.intp], training: Training, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    inputs = examples.inputs[picked]
    if training.dropout:
        inputs = inputs * (rng.random(inputs.shape) >= training.dropout)
    weight = np.ones(len(inputs)) if examples.weight is None else examples.weight[picked]
    return inputs, examples.targets[picked], weight


class _Adam:
    """Adam with decoupled weight decay; its moments of all layers are kept flat."""

    def __init__(self, network: DenseNetwork, training: Training) -> None:
        self._training = training
        self._mean = np.zeros(network.weights)
        self._square = np.zeros(network.weights)
        self._steps = 0

    def step(self, network: DenseNetwork, inputs: Array, targets: Array, weight: Array) -> DenseNetwork:
        """Return the network after one batch."""
        gradient = _flat(_gradients(network, inputs, targets, weight, self._training.loss))
        self._steps += 1
        self._mean += (1 - _BETA) * (gradient - self._mean)
        self._square += (1 - _BETA_SQUARE) * (gradient * gradient - self._square)
        mean = self._mean / (1 - _BETA**self._steps)
        square = self._square / (1 - _BETA_SQUARE**self._steps)
        flat, rate = _flat(network.layers), self._training.learning_rate
        return _shaped(
            flat - rate * (mean / (np.sqrt(square) + _EPSILON) + self._training.decay * flat), network.layers
        )


def _gradients(network: DenseNetwork, inputs: Array, targets: Array, weight: Array, loss: Loss) -> _Layers:
    activations = [inputs]
    for kernel, bias in network.layers[:-1]:
        activations.append(np.clip(activations[-1] @ kernel + bias, 0.0, RELU_MOST))
    kernel, bias = network.layers[-1]
    outputs = activations[-1] @ kernel + bias
    error = logistic(outputs) - targets if loss is Loss.LOGISTIC else 2 * (outputs - targets)
    error = error * weight[:, np.newaxis] / error.size
    gradients = []
    for place in range(len(network.layers) - 1, -1, -1):
        gradients.append((activations[place].T @ error, error.sum(axis=0)))
        if place:
            active = (activations[place] > 0) & (activations[place] < RELU_MOST)
            error = (error @ network.layers[place][0].T) * active
    return tuple(gradients[::-1])


def _flat(layers: _Layers) -> Array:
    return np.concatenate([part.ravel() for pair in layers for part in pair])


def _shaped(flat: Array, like: _Layers) -> DenseNetwork:
    layers, place = [], 0
    for kernel, bias in like:
        end = place + kernel.size
        layers.append((flat[place:end].reshape(kernel.shape), flat[end : end + bias.size]))
        place = end + bias.size
    return DenseNetwork(tuple(layers))
