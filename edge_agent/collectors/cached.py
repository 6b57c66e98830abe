"""What changes slowly, or costs much to read: read now and then, and the same said in between."""

from collections.abc import Callable, Iterable, Mapping

from edge_agent.collectors.collection import Reading
from edge_agent.protocol.instant import Instant


class Cached:
    """The last answer of `read`, which is asked at most every `every_s` seconds of uptime."""

    def __init__(self, every_s: float, read: Callable[[], Iterable[Reading]]) -> None:
        self._every_s, self._read = every_s, read
        self._at_s = float("-inf")
        self._values: dict[str, float] = {}

    def at(self, now: Instant) -> Mapping[str, float]:
        """Return `{series: value}`, read anew if it is time."""
        if now.uptime_s - self._at_s >= self._every_s:
            self._values, self._at_s = dict(self._read()), now.uptime_s
        return self._values
