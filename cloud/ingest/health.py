"""Health of the ingest: whether it is connected, and whether what it receives is committed.

What flows in: what the worker experiences. What flows out: the state that the rules of the pipeline evaluate, and since
when the silence of a device means anything.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from cloud.cases.pipeline import IngestState

BEHIND = timedelta(seconds=10)  # messages that wait for longer than this can make a healthy device look silent


class IngestHealth:
    """The state of one worker."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._connected_since: datetime | None = None
        self._disconnected_since: datetime | None = now()
        self._waiting_since: datetime | None = None
        self._caught_up_at = now()
        self._failure = ""

    @property
    def state(self) -> IngestState:
        """What the rules need to know."""
        return IngestState(
            connected_since=self._connected_since,
            disconnected_since=self._disconnected_since,
            waiting_since=self._waiting_since,
            failure=self._failure,
        )

    def listening_since(self, now: datetime) -> datetime | None:
        """Since when every message that was sent has been committed; None while that is not so."""
        if self._connected_since is None or (self._waiting_since and now - self._waiting_since > BEHIND):
            return None
        return max(self._connected_since, self._caught_up_at)

    def connected(self) -> None:
        """Take note of a connection, with its subscriptions."""
        self._connected_since, self._disconnected_since, self._failure = self._now(), None, ""

    def disconnected(self, failure: object) -> None:
        """Take note of a connection that failed or was lost. Messages that wait are committed after the next one."""
        self._connected_since, self._waiting_since, self._failure = None, None, str(failure)
        self._disconnected_since = self._disconnected_since or self._now()

    def received(self) -> None:
        """Take note of a message that waits to be committed."""
        if self._waiting_since is None:
            self._waiting_since = self._now()

    def committed(self, *, is_empty: bool) -> None:
        """Take note of a commit; `is_empty` if no message waits any more."""
        now = self._now()
        if self._waiting_since and now - self._waiting_since > BEHIND:
            self._caught_up_at = now
        self._waiting_since, self._failure = None if is_empty else now, ""

    def failed(self, failure: object) -> None:
        """Take note of messages that could not be committed."""
        self._failure = str(failure)
