"""How long to wait before the next connection attempt.

What flows in: for how many seconds the last link was up. What flows out: seconds to wait.
"""

import random

BACKOFF_MIN_S = 5.0
BACKOFF_MAX_S = 600.0
STABLE_AFTER_S = 300.0  # a link counts as stable, and resets the backoff, after this long


class Backoff:
    """Full jitter below a ceiling that doubles; only a link that was stable resets it.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ceiling_s = BACKOFF_MIN_S

    def next_s(self, link_held_s: float) -> float:
        """Return how long to wait before the next try, given how long the last link was up (0 if it never was)."""
        if link_held_s >= STABLE_AFTER_S:
            self._ceiling_s = BACKOFF_MIN_S
        wait_s = self._rng.uniform(0.5, self._ceiling_s)
        self._ceiling_s = min(BACKOFF_MAX_S, self._ceiling_s * 2)
        return wait_s
