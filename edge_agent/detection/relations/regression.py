"""Regressions that begin with the fleet prior and go on with what their device shows.

What flows in: for each of a few answers a row of basis values, and the answer. What flows out: what the answer should
have been, and how far off it may be, before it is learned from.

Each is a Bayesian linear regression (a Kalman filter whose state stands still): the fleet says how large the weights
are and how far devices differ in them, so a device is doubted most where it has not been yet. Its first heavy load
after idle hours surprises nobody, and the doubt goes as it is watched. What is older than FORGET_ROWS is half
forgotten, back to what the fleet knows.
"""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_agent.detection.trends.multiscale_window import Array

STATE_VERSION = 1
FORGET_ROWS = 7 * 1440.0  # half-life of what was learned
ROWS_AS_ONE = 4.0  # neighbouring rows say the same thing again: so many count as one
MOST_SURPRISE = 3.0  # deviations; a row teaches no more than that, so that a fault is not learned at once
NOISE_ROWS = 300.0  # over which the device's own noise is known
NOISE_BOUNDS = (0.05, 20.0)  # of it against the fleet's, as variances
ROUNDED = 1e-5  # of the largest entry: what 4 bytes a number may make of a covariance


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What the fleet knows: `mean` (answers, width) and `covariance` (answers, width, width) of the weights."""

    mean: Array
    covariance: Array


class Regressions:
    """Several answers, each with weights of its own over as many basis values; learns row by row."""

    def __init__(self, prior: Prior) -> None:
        self._prior = prior
        self._mean, self._covariance = prior.mean.copy(), prior.covariance.copy()
        self._noise = np.ones(len(prior.mean))

    def step(self, basis: Array, variance: Array, answer: Array) -> tuple[Array, Array, Array]:
        """Return expected answers with their doubt and noise, both as variances (answers,), then learn.

        `basis` (answers, width), `variance` (answers,) of the fleet's noise, `answer` (answers,) with NaN where there
        is none: nothing is learned of it then.
        """
        known = np.isfinite(answer)
        spread = np.einsum("aij,aj->ai", self._covariance, basis)
        doubt = np.maximum(0.0, np.einsum("ai,ai->a", spread, basis))
        noise = variance * self._noise
        expected = np.einsum("ai,ai->a", basis, self._mean)
        deviation = np.sqrt(doubt + noise)
        off = np.where(known, np.clip(answer - expected, -MOST_SURPRISE * deviation, MOST_SURPRISE * deviation), 0.0)
        gain = np.where(known, 1.0 / (doubt + ROWS_AS_ONE * noise), 0.0)[:, np.newaxis] * spread
        self._mean += gain * off[:, np.newaxis]
        self._covariance -= gain[:, :, np.newaxis] * spread[:, np.newaxis, :]
        forgotten = np.where(known, 1.0 - 0.5 ** (1.0 / FORGET_ROWS), 0.0)[:, np.newaxis, np.newaxis]
        self._covariance += forgotten * (self._prior.covariance - self._covariance)
        louder = ((off / deviation) ** 2 - 1.0) * self._noise / NOISE_ROWS
        self._noise = np.clip(np.where(known, self._noise + louder, self._noise), *NOISE_BOUNDS)
        return expected, doubt, noise

    def export_state(self) -> dict[str, object]:
        """Return what must outlive a reboot, fit for JSON: 4 bytes a number, one triangle of a covariance."""
        return {
            "version": STATE_VERSION,
            "mean": _packed(self._mean),
            "covariance": _packed(self._covariance[:, *np.triu_indices(self._mean.shape[1])]),
            "noise": _packed(self._noise),
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError with what is wrong, and then has changed nothing."""
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
