"""Principal components of the channels of a device, and the residual that they do not explain.

What flows in: how far each channel is from its mean, in its own deviations. What flows out: the residual after the
common patterns are subtracted. Load moves half of all metrics: that is usual. A metric that moves alone is not.

The patterns are the first principal components, learned row by row without a covariance: Weng, Zhang and Hwang,
Candid covariance-free incremental principal component analysis, IEEE PAMI 25(8), 2003.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from edge_agent.detection.anomaly.baseline import Array

PATTERNS = 4
CHANNELS_OF_A_PATTERN = 4  # with few channels, as many patterns would explain everything
MOST = 5.0  # deviations that are learned from one row: a single incident is not a pattern
RECENT = 2.0  # forgetting factor of the first rows over a plain mean: their direction is still unstable
SHORTEST = 1e-9  # a shorter pattern is not learned yet


class Components:
    """The patterns of a growing set of channels: PATTERNS numbers per channel, whatever its age."""

    def __init__(self, half_life_rows: float) -> None:
        self._weight = 1 - 0.5 ** (1 / half_life_rows)
        self._patterns: Array = np.zeros((PATTERNS, 0))
        self._rows = 0

    def allocate(self, channels: int) -> None:
        """Grow to this number of channels; new ones, at the end, follow no pattern yet."""
        more = channels - self._patterns.shape[1]
        self._patterns = np.hstack([self._patterns, np.zeros((PATTERNS, more))])

    def learn(self, deviations: Array) -> Array:
        """Learn a row, 0 where a channel is missing; return the residual."""
        self._rows += 1
        weight = max(self._weight, min(1.0, RECENT / self._rows))
        rest: Array = np.clip(deviations, -MOST, MOST)
        for pattern in self._patterns[: len(rest) // CHANNELS_OF_A_PATTERN]:
            length = float(pattern @ pattern) ** 0.5
            if length < SHORTEST:
                pattern[:] = rest
                break
            pattern += weight * (float(rest @ pattern) / length * rest - pattern)
            square = float(pattern @ pattern)
            if square > SHORTEST**2:
                rest = rest - float(rest @ pattern) / square * pattern
        return rest

    def export_state(self, names: Sequence[str]) -> dict[str, object]:
        """Return the patterns as a plain dictionary, fit for JSON; six digits are enough."""
        channels = {
            name: [float(f"{part:.6g}") for part in parts] for name, parts in zip(names, self._patterns.T, strict=True)
        }
        return {"rows": self._rows, "channels": channels}

    def restore_state(self, state: Mapping[str, object], names: Sequence[str]) -> None:
        """Restore an exported state. Raises ValueError with the reason, and then changes nothing."""
        rows, channels = state.get("rows"), state.get("channels")
        if not isinstance(rows, int) or rows < 0 or not isinstance(channels, dict):
            raise ValueError("components: rows must be a count, and channels a mapping")
        try:
            patterns = np.array([channels[name] for name in names], np.float64).reshape(len(names), PATTERNS).T.copy()
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"components: each channel must have {PATTERNS} numbers") from None
        if not np.isfinite(patterns).all():
            raise ValueError("components: numbers must be finite")
        self._patterns, self._rows = patterns, rows
