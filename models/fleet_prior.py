"""The fleet prior of the relations: the mean of the regression weights, and how far devices differ.

What flows in: rows of quantities of many devices. What flows out: the arrays of a Fleet (edge_agent/detection).

Each device's answers are a linear regression on the agent's own basis, whose weights are drawn from one normal
distribution. Its mean and covariance, and the noise of a row, are fitted by expectation and maximisation (Dempster,
Laird, Rubin 1977): given the distribution, each device's weights are known up to an uncertainty; given those, the
distribution is their mean, and their scatter and uncertainty. Nothing in it is random.
"""

from typing import NamedTuple

import numpy as np

from edge_agent.detection.relations.regression import ROWS_AS_ONE, Prior
from edge_agent.detection.relations.relations import RELATIONS, WIDTH, Scales, answers, basis_of, named_inputs, scaled
from edge_agent.detection.trends.multiscale_window import Array

ROUNDS = 60
WIDE = 10.0  # variance of weights before anything is known
DOUBTS = {"thermal.cooling": 0.1, "disk.slow": 0.1, "load.unexplained": WIDE}
"""Added to the variance of each weight: the fleet's devices share a few recordings, another device has its own work.

For load, the fleet prior is too weak: a device that starts with little more than its mean does better.
"""


class Known(NamedTuple):
    """The fitted prior, before the bar is set; as in Fleet."""

    prior: Prior
    variance: Array
    centre: Array
    spread: Array


def learn(devices: list[Array]) -> Known:
    """Fit all relations to simulated devices, each (rows, Quantity)."""
    inputs = [inputs_of(rows) for rows in devices]
    targets = np.stack([answers(rows) for rows in devices])
    centre, spread = np.nanmean(targets, axis=(0, 1)), np.nanstd(targets, axis=(0, 1))
    scaled = (targets - centre) / spread
    fitted = [_fit([one[:, place] for one in inputs], scaled[..., place]) for place in range(len(RELATIONS))]
    means, covariances, variances = (np.stack(parts) for parts in zip(*fitted, strict=True))
    doubts = np.array([DOUBTS[relation.fault] for relation in RELATIONS])[:, np.newaxis, np.newaxis]
    return Known(Prior(mean=means, covariance=covariances + doubts * np.eye(WIDTH)), variances, centre, spread)


def inputs_of(rows: Array) -> Array:
    """Return the inputs as the agent makes them, row after row: (rows, relations, INPUTS)."""
    scales = Scales()
    return named_inputs(np.stack([scales.step(row) for row in scaled(rows)]))


def _fit(inputs: list[Array], targets: Array) -> tuple[Array, Array, Array]:
    """Return mean (WIDTH,), covariance (WIDTH, WIDTH) and noise of one relation; unused places stay 0."""
    used = np.flatnonzero(np.any([np.any(basis_of(one) != 0, axis=0) for one in inputs], axis=0))
    products, sums, squares, counts = [], [], [], []
    for one, answer in zip(inputs, targets, strict=True):
        known = np.isfinite(one).all(axis=1) & np.isfinite(answer)
        basis, target = basis_of(one[known])[:, used], answer[known]
        products.append(basis.T @ basis)
        sums.append(basis.T @ target)
        squares.append(target @ target)
        counts.append(len(target))
    small = _maximise(np.array(products), np.array(sums), np.array(squares), np.array(counts))
    mean, covariance = np.zeros(WIDTH), np.zeros((WIDTH, WIDTH))
    mean[used], covariance[np.ix_(used, used)] = small[0], small[1]
    return mean, covariance, small[2]


def _maximise(products: Array, sums: Array, squares: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Fit from each device's sums over its rows: (devices, k, k), (devices, k), and (devices,) twice."""
    one = np.eye(products.shape[1])
    mean, covariance, noise = np.zeros(len(one)), WIDE * one, np.array(0.1)
    for _ in range(ROUNDS):
        certainty = np.linalg.inv(covariance)
        doubts = np.linalg.inv(certainty + products / (ROWS_AS_ONE * noise))
        weights = np.einsum("dij,dj->di", doubts, certainty @ mean + sums / (ROWS_AS_ONE * noise))
        mean = weights.mean(axis=0)
        covariance = doubts.mean(axis=0) + (weights - mean).T @ (weights - mean) / len(weights) + 1e-6 * one
        fits = np.einsum("di,dij,dj->d", weights, products, weights) - 2 * np.einsum("di,di->d", weights, sums)
        unsure = np.einsum("dij,dji->d", products, doubts)
        noise = (squares + fits + unsure).sum() / counts.sum()
    return mean, covariance, noise
