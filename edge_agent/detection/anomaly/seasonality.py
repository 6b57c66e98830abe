"""Daily profile: how far each channel usually is from its overall mean at each hour of the day.

What flows in: how far a row is from the means, with the time. What flows out: the usual distance at that time.
24 numbers per channel, whatever its age. Without a valid clock there is no profile.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from edge_agent.detection.anomaly.baseline import Array

HOURS = 24
_HOUR_S = 3600.0


class Daily:
    """The daily profile of a growing set of channels; one day has a weight of one half."""

    def __init__(self, step_s: float) -> None:
        self._weight = 1 - 0.5 ** (step_s / _HOUR_S)
        self._profiles: Array = np.zeros((HOURS, 0))

    def allocate(self, channels: int) -> None:
        """Grow to this number of channels; new ones, at the end, have no profile yet."""
        more = channels - self._profiles.shape[1]
        self._profiles = np.hstack([self._profiles, np.zeros((HOURS, more))])

    def usual(self, time_s: float | None) -> Array:
        """Return how far each channel usually is from its mean at this time (seconds since any midnight, or None)."""
        if time_s is None:
            return np.zeros(self._profiles.shape[1])
        hour, part = divmod(time_s / _HOUR_S - 0.5, 1.0)  # the profile is defined at the middle of each hour
        before, after = int(hour) % HOURS, (int(hour) + 1) % HOURS
        usual: Array = (1 - part) * self._profiles[before] + part * self._profiles[after]
        return usual

    def learn(self, away: Array, time_s: float | None) -> None:
        """Learn how far a row is from the means. NaN and rows of unknown time are ignored."""
        if time_s is not None:
            profile = self._profiles[int(time_s // _HOUR_S) % HOURS]
            profile += self._weight * np.where(np.isfinite(away), away - profile, 0.0)

    def export_state(self, names: Sequence[str]) -> dict[str, object]:
        """Return the profile of each channel as a plain dictionary, fit for JSON; six digits are enough."""
        return {
            name: [float(f"{hour:.6g}") for hour in profile]
            for name, profile in zip(names, self._profiles.T, strict=True)
        }

    def restore_state(self, state: Mapping[str, object], names: Sequence[str]) -> None:
        """Restore an exported state. Raises ValueError with the reason, and then changes nothing."""
        try:
            profiles = np.array([state[name] for name in names], np.float64).reshape(len(names), HOURS).T.copy()
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"daily: each channel must have {HOURS} numbers") from None
        if not np.isfinite(profiles).all():
            raise ValueError("daily: numbers must be finite")
        self._profiles = profiles
