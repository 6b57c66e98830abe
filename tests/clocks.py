"""A clock that tests turn by hand."""

import threading

from edge_agent.protocol.instant import Instant
from tests.builders import an_instant


class HandClock:
    """Shows what it was set to; waiting sets it."""

    def __init__(self, uptime_s: float = 0.0) -> None:
        self.uptime_s = uptime_s

    def now(self) -> Instant:
        return an_instant(self.uptime_s - 3600)  # the builders' noon is an hour after their boot

    def wait_until(self, uptime_s: float, stop: threading.Event) -> None:  # noqa: ARG002  the port's signature
        self.uptime_s = max(self.uptime_s, uptime_s)
