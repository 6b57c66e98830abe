"""Viewers: who has the page of a case open now, so that two people do not work on it without knowing.

What flows in: the live streams of open pages. What flows out: names. It is in memory, and a stream that does not
report for a while is forgotten.
"""

from datetime import datetime, timedelta
from itertools import count

EXPIRES = timedelta(seconds=20)  # four rounds of a live stream


class Viewers:
    """Open pages by case."""

    def __init__(self) -> None:
        self._keys = count(1)
        self._open: dict[int, dict[int, tuple[str, datetime]]] = {}

    def enter(self, number: int, name: str, now: datetime) -> int:
        """Note that somebody has opened a case; return the key of this page."""
        key = next(self._keys)
        self.stay(number, key, name, now)
        return key

    def stay(self, number: int, key: int, name: str, now: datetime) -> None:
        """Note that the page is still open."""
        self._open.setdefault(number, {})[key] = (name, now)

    def leave(self, number: int, key: int) -> None:
        """Note that the page was closed."""
        pages = self._open.get(number, {})
        pages.pop(key, None)
        if not pages:
            self._open.pop(number, None)

    def others(self, number: int, me: str, now: datetime) -> tuple[str, ...]:
        """Return who else has the case open, by name."""
        pages = self._open.get(number, {})
        for key in [key for key, (_, at) in pages.items() if now > at + EXPIRES]:
            self.leave(number, key)
        return tuple(sorted({name for name, _ in pages.values()} - {me}))


def sentence(names: tuple[str, ...]) -> str:
    """Say who else is looking at a case; empty for nobody."""
    if not names:
        return ""
    *first, last = names
    return f"{', '.join(first)} and {last} are looking at this case" if first else f"{last} is looking at this case"
