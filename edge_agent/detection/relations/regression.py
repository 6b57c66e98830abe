"""Bayesian linear regressions that start from the fleet prior and learn their device.

What flows in: for each answer a row of basis values, and the answer. What flows out: the expected answer and its
variances, before the row is learned.

Each regression is a Kalman filter with a constant state. The fleet prior gives the weights and how much devices differ
in them, so the uncertainty is largest for inputs that the device has not had yet: its first heavy load after idle hours
is no anomaly. With the half-life FORGET_ROWS, the weights return to the fleet prior.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_agent.detection.trends.multiscale_window import Array

STATE_VERSION = 1
FORGET_ROWS = 7 * 1440.0  # half-life of learned weights
ROWS_AS_ONE = 4.0  # neighbouring rows are correlated: this many count as one
MOST_SURPRISE = 3.0  # deviations learned from one row, so that a fault is not learned at once
NOISE_ROWS = 300.0  # over which the noise of the device is estimated
NOISE_BOUNDS = (0.05, 20.0)  # of the noise relative to that of the fleet, as variances
ROUNDED = 1e-5  # of the largest entry: rounding of a covariance in 4-byte numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """The fleet prior: `mean` (answers, width) and `covariance` (answers, width, width) of the weights."""

    mean: Array
    covariance: Array


class Regressions:
    """Several answers, each with its own weights over the basis values; learns row by row."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self._mean, self._covariance = prior.mean.copy(), prior.covariance.copy()
        self._noise = np.ones(len(prior.mean))

    def step(self, basis: Array, variance: Array, answer: Array) -> tuple[Array, Array, Array]:
        """Return expected answers with their uncertainty and noise, both as variances (answers,), then learn.

        `basis` (answers, width), `variance` (answers,) of the fleet's noise, `answer` (answers,) with NaN where there
        is none, which is not learned.
        """
        known = np.isfinite(answer)
        spread = np.einsum("aij,aj->ai", self._covariance, basis)
        uncertainty = np.maximum(0.0, np.einsum("ai,ai->a", spread, basis))
        noise = variance * self._noise
        expected = np.einsum("ai,ai->a", basis, self._mean)
        deviation = np.sqrt(uncertainty + noise)
        off = np.where(known, np.clip(answer - expected, -MOST_SURPRISE * deviation, MOST_SURPRISE * deviation), 0.0)
        gain = np.where(known, 1.0 / (uncertainty + ROWS_AS_ONE * noise), 0.0)[:, np.newaxis] * spread
        self._mean += gain * off[:, np.newaxis]
        self._covariance -= gain[:, :, np.newaxis] * spread[:, np.newaxis, :]
        forgotten = np.where(known, 1.0 - 0.5 ** (1.0 / FORGET_ROWS), 0.0)[:, np.newaxis, np.newaxis]
        self._covariance += forgotten * (self._prior.covariance - self._covariance)
        louder = ((off / deviation) ** 2 - 1.0) * self._noise / NOISE_ROWS
        self._noise = np.clip(np.where(known, self._noise + louder, self._noise), *NOISE_BOUNDS)
        return expected, uncertainty, noise

    def export_state(self) -> dict[str, object]:
        """Return the persistent state, fit for JSON: 4 bytes per number, one triangle of a covariance."""
        return {
            "version": STATE_VERSION,
            "mean": _packed(self._mean),
            "covariance": _packed(self._covariance[:, *np.triu_indices(self._mean.shape[1])]),
            "noise": _packed(self._noise),
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError with the reason, and then changes nothing."""
        if state.get("version") != STATE_VERSION:
            raise ValueError("relations: state is of another version")
        answers, width = self._mean.shape
        rows, columns = np.triu_indices(width)
        mean = _unpacked(state.get("mean"), (answers, width))
        triangles = _unpacked(state.get("covariance"), (answers, len(rows)))
        noise = _unpacked(state.get("noise"), (answers,))
        covariance = np.zeros((answers, width, width))
        covariance[:, rows, columns] = covariance[:, columns, rows] = triangles
        least = np.linalg.eigvalsh(covariance).min(axis=1)
        if (least < -ROUNDED * np.abs(covariance).max(axis=(1, 2))).any() or (noise <= 0).any():
            raise ValueError("relations: a covariance or a noise in the state is negative")
        self._mean, self._covariance, self._noise = mean, covariance, np.clip(noise, *NOISE_BOUNDS)


def _packed(array: Array) -> str:
    return base64.b64encode(array.astype("<f4").tobytes()).decode()


def _unpacked(text: object, shape: tuple[int, ...]) -> Array:
    try:
        array = np.frombuffer(base64.b64decode(text if isinstance(text, str) else "", validate=True), "<f4")
    except ValueError:
        array = np.zeros(0, np.float32)
    if array.size != math.prod(shape) or not np.isfinite(array).all():
        raise ValueError(f"relations: expected finite numbers of shape {shape} in the state")
    return array.astype(np.float64).reshape(shape)
