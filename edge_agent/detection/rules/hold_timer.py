"""Hold timer: for how long each condition has held. All rules measure durations here."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class HoldTimer:
    """Since when each condition has held, and when it last did, by a key that the rule chooses."""

    _spans: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def lasted_s(self, key: tuple[str, str], holds: bool, at_s: float, linger_s: float = 0.0) -> float | None:
        """Return the seconds since the condition began to hold; None when it does not.

        A momentary condition (a voltage drop, a killed program) counts until it has been absent for `linger_s`.
        """
        span = self._spans.get(key)
        if span is not None and not holds and (not linger_s or at_s - span[1] >= linger_s):
            del self._spans[key]
            return None
        if span is None and not holds:
            return None
        since, last = span or (at_s, at_s)
        self._spans[key] = (since, at_s if holds else last)
        return at_s - since

    def holds(self, key: tuple[str, str]) -> bool:
        """Return whether the condition held at the last sample; rules need it for hysteresis."""
        return key in self._spans

    def resume(self, key: tuple[str, str], for_s: float) -> None:
        """Resume a condition that had held for `for_s` when the agent stopped; the first sample may end it."""
        self._spans[key] = (-for_s, 0.0)
