"""Networks without an interpreter, and artifacts without training: what tests of the adapter need."""

import numpy as np

from models.dense_network import DenseNetwork


def a_network(inputs: int, outputs: int = 1, hidden: int = 4, seed: int = 1) -> DenseNetwork:
    """A network with random weights."""
    rng = np.random.default_rng(seed)
    shapes = ((inputs, hidden), (hidden, outputs))
    return DenseNetwork(tuple((rng.normal(size=shape), rng.normal(size=shape[1])) for shape in shapes))
