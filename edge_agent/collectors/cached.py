"""Cached readings, for sources that change slowly or are expensive to read."""

from collections.abc import Callable, Iterable, Mapping

from edge_agent.collectors.collection import Reading
from edge_agent.protocol.instant import Instant


class Cached:
    """The last result of `read`, which is called at most every `every_s` seconds of uptime."""

    def __init__(self, every_s: float, read: Callable[[], Iterable[Reading]]) -> None:
        self._every_s, self._read = every_s, read
        self._at_s = float("-inf")
        self._values: dict[str, float] = {}

    def at(self, now: Instant) -> Mapping[str, float]:
        """Return `{series: value}`, read again if it has expired."""
        if now.uptime_s - self._at_s >= self._every_s:
            self._values, self._at_s = dict(self._read()), now.uptime_s
        return self._values
