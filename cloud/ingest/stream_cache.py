"""Stream cache: stream progress as of the last commit, so that the database is queried only for unknown streams.

What flows in: what each transaction has committed. What flows out: copies of it for the next transaction.
"""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from cloud.store.streams import StreamKey, StreamProgress
from edge_agent.protocol.topics import Lane

STREAMS_MAX = 100_000
FOREIGN_MAX = 16  # streams a day of which a device may declare losses although it has never used them
SEEN_STEP = timedelta(seconds=5)  # the column last_seen is updated at most this often


class StreamCache:
    """Progress of streams and last-seen times of devices, as committed.

    This process is the only one that writes messages. If there were another one, rows that it has inserted would
    collide with the keys of the tables; the cache is then cleared, and the database queried.
    """

    def __init__(self) -> None:
        self._progress: dict[StreamKey, StreamProgress] = {}
        self._seen: dict[tuple[str, Lane], datetime] = {}
        self._foreign: dict[str, set[StreamKey]] = {}
        self._foreign_on: date | None = None

    def progress(self, keys: Iterable[StreamKey]) -> dict[StreamKey, StreamProgress]:
        """Return copies of the progress of the cached streams among `keys`."""
        return {key: progress.copy() for key in keys if (progress := self._progress.get(key))}

    def admits(self, key: StreamKey, today: date) -> bool:
        """Whether a stream may be created for the only reason that a device has declared a loss in it."""
        if today != self._foreign_on:
            self._foreign.clear()
            self._foreign_on = today
        foreign = self._foreign.setdefault(key.device, set())
        if key not in self._progress and len(foreign) < FOREIGN_MAX:
            foreign.add(key)
        return key in self._progress or key in foreign

    def is_last_seen_due(self, device: str, lane: Lane, at: datetime) -> bool:
        """Whether the time is to be updated at which a device was last seen on a lane."""
        last = self._seen.get((device, lane))
        return last is None or at - last >= SEEN_STEP or at < last

    def update(self, progress: dict[StreamKey, StreamProgress], seen: dict[tuple[str, Lane], datetime]) -> None:
        """Store what was committed."""
        if len(self._progress) + len(progress) > STREAMS_MAX or len(self._seen) + len(seen) > STREAMS_MAX:
            self.clear()
        self._progress |= progress
        self._seen |= seen

    def clear(self) -> None:
        """Remove all entries."""
        self._progress.clear()
        self._seen.clear()
