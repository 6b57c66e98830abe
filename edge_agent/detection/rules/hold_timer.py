"""Lasting: for how long each condition has held. The one place where rules keep time."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class HoldTimer:
    """Since when each condition holds, and when it last did, by a key of the rule's choice."""

    _spans: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def lasted_s(self, key: tuple[str, str], holds: bool, at_s: float, linger_s: float = 0.0) -> float | None:
        """Return the seconds since the condition began to hold; None when it does not.

        What holds only for moments (a dip of voltage, a killed program) counts until it has been away for `linger_s`.
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
        """Say whether it held at the last sample: a limit is left by a step back, not by a hair."""
        return key in self._spans

    def resume(self, key: tuple[str, str], for_s: float) -> None:
        """Take up what had held for so long when the agent stopped: the first sample says whether it still does."""
        self._spans[key] = (-for_s, 0.0)
