"""A time limit for sending a request: a connection that sends half a header or half a body is closed.

What flows in: connections. What flows out: the same, as long as requests arrive in time. uvicorn limits only the time
between two requests.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0
BODY_S = 30.0


class TimedProtocol(H11Protocol):
    """uvicorn's protocol with a time limit for the header and for the body of each request."""

    _deadline: asyncio.TimerHandle | None = None
    _awaited: object = None  # the state of the client that the time limit is for

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first header its time."""
        super().connection_made(transport)
        self._follow()

    def data_received(self, data: bytes) -> None:
        """Read on, and give what is awaited next its time."""
        super().data_received(data)
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit."""
        self._cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Leave the wait for another request to uvicorn; a body that nobody reads still has its own limit."""
        super().on_response_complete()
        if self.conn.their_state is not h11.SEND_BODY:
            self._cancel()

    def _follow(self) -> None:
        state = self.conn.their_state
        if state is self._awaited:
            return  # more of the same: its time runs
        self._cancel()
        limits_s = {h11.IDLE: HEADERS_S, h11.SEND_BODY: BODY_S}
        if state in limits_s and not self.transport.is_closing():
            self._awaited = state
            self._deadline = self.loop.call_later(limits_s[state], self.transport.close)

    def _cancel(self) -> None:
        self._awaited = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
