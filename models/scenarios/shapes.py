"""Shapes of change over time. In: sample times, a generator. Out: an array of the same length."""

import numpy as np

from models.scenarios.timeline import Array


def ramp(t_s: Array, begin_s: float, duration_s: float) -> Array:
    """Rise from 0 at `begin_s` to 1 in `duration_s`, and stay there."""
    return np.asarray(np.clip((t_s - begin_s) / max(duration_s, 1e-9), 0.0, 1.0))


def during(t_s: Array, begin_s: float, end_s: float) -> Array:
    """Return 1 from `begin_s` up to `end_s`, and 0 elsewhere."""
    return np.asarray(((t_s >= begin_s) & (t_s < end_s)).astype(np.float64))


def after(t_s: Array, begin_s: float) -> Array:
    """Return 1 from `begin_s` on."""
    return np.asarray((t_s >= begin_s).astype(np.float64))


def saturating(t_s: Array, begin_s: float, tau_s: float) -> Array:
    """Approach 1 from `begin_s` on, with time constant `tau_s`."""
    return np.asarray(1 - np.exp(-np.maximum(0.0, t_s - begin_s) / tau_s))


def wander(rng: np.random.Generator, t_s: Array, knot_s: float) -> Array:
    """Return noise of mean 0 and deviation about 1 that changes over `knot_s`: independent knots, linear in between."""
    knots = np.arange(t_s[0], t_s[-1] + 2 * knot_s, knot_s)
    return np.asarray(np.interp(t_s, knots, rng.normal(0.0, 1.0, len(knots))) * 1.22)


def rough(rng: np.random.Generator, progress: Array, roughness: float) -> Array:
    """Make the speed of a rising progress vary from sample to sample; it ends at the same value.

    `roughness`: deviation of the logarithm of the speed. 0 leaves it as it is.
    """
    steps = np.diff(progress, prepend=progress[0])
    total = float(steps.sum())
    if total <= 0 or not roughness:
        return progress
    moving = np.flatnonzero(steps > 0)
    slow = np.repeat(rng.normal(0.0, 1.0, len(moving) // 8 + 1), 8)[: len(moving)]
    steps[moving] *= np.exp(roughness * (0.6 * rng.normal(0.0, 1.0, len(moving)) + 0.8 * slow))
    return np.asarray(progress[0] + np.cumsum(steps) * (total / float(steps.sum())))


def sawtooth(t_s: Array, rate: Array, size: float) -> Array:
    """Accumulate `rate` (per second) and drop to zero at each multiple of `size`: rotation by size."""
    grown = np.concatenate([[0.0], np.cumsum(rate[1:] * np.diff(t_s))])
    return np.asarray(grown % size)


def reset_at(t_s: Array, rate: Array, resets_s: Array) -> Array:
    """Accumulate `rate` (per second) from 0 and drop to zero at each of `resets_s`: rotation by time, restarts."""
    grown = np.concatenate([[0.0], np.cumsum(rate[1:] * np.diff(t_s))])
    dropped = np.interp(resets_s, t_s, grown, left=0.0)
    place = np.searchsorted(resets_s, t_s, side="right")
    return np.asarray(grown - np.concatenate([[0.0], dropped])[place])
