"""Session: one connection to the broker, with a client of its own that ends with it.

What flows in: what the broker hands over. What flows out: topic and payload, to a callback; publishes at QoS 0. What
comes at QoS 1 is acknowledged on receipt (see ingest.py for why that is enough).
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

import gmqtt
from gmqtt.mqtt.constants import MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError

KEEP_ALIVE_S = 60  # after which the broker may take us for dead, and we it after twice that
ANSWER_S = 10.0  # to connect, and to answer
GOODBYE_S = 1.0
_REFUSED = 128  # and above, in what the broker grants of a subscription

logging.getLogger("gmqtt").setLevel(logging.CRITICAL)  # what it says of each lost connection, Outage says once

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """How to reach the broker; with `tls`, its certificate and name are always verified."""

    host: str
    port: int
    tls: bool = False
    ca_file: str | None = None  # None: the system's certificate authorities
    username: str | None = None
    password: str | None = None


class SessionError(Exception):
    """The broker can't be reached, does not want us, or has gone."""


class _Client(gmqtt.Client):  # type: ignore[misc]  # gmqtt publishes no types
    async def reconnect(self, delay: bool = False) -> None:
        """Not by itself: the ingest begins a new session, which the broker keeps nothing of."""


@asynccontextmanager
async def connected(broker: BrokerAddress, hear: Callable[[str, bytes], None]) -> AsyncIterator["Session"]:
    """A session for as long as the block runs; `hear` is told topic and payload. Raises SessionError."""
    session = Session(hear)
    try:
        await session.introduce(broker)
        yield session
    finally:
        await session.close()


class Session:
    """What is said to the broker, and what it says."""

    def __init__(self, hear: Callable[[str, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[SessionError] = loop.create_future()
        self._granted: asyncio.Future[tuple[int, ...]] = loop.create_future()
        self._client = _Client("")
        self._client.on_message = lambda _client, topic, payload, _qos, _properties: hear(topic, payload)
        self._client.on_subscribe = lambda _client, _mid, granted, _properties: self._on_granted(granted)
        self._client.on_disconnect = lambda _client, _packet: self._on_lost()

    async def introduce(self, broker: BrokerAddress) -> None:
        """Say who we are; the broker is to keep nothing for us. Raises SessionError."""
        if broker.username is not None:
            self._client.set_auth_credentials(broker.username, broker.password)
        try:
            tls = ssl.create_default_context(cafile=broker.ca_file) if broker.tls else False
            connecting = self._client.connect(
                broker.host, broker.port, ssl=tls, keepalive=KEEP_ALIVE_S, version=MQTTv311
            )
            await self._answered(asyncio.ensure_future(connecting))
        except MQTTConnectError as error:
            raise SessionError(f"the broker refuses us: {error}") from error
        except (OSError, UnicodeError) as error:  # a file that is just being replaced; a name that is none
            raise SessionError(str(error) or "no connection in time") from error

    async def subscribe(self, *filters: str) -> None:
        """Ask for these topics at QoS 1, in this order. Raises SessionError."""
        self._client.subscribe([gmqtt.Subscription(each, qos=1) for each in filters])
        granted = await self._answered(self._granted)
        if len(granted) != len(filters) or max(granted) >= _REFUSED:
            raise SessionError(f"the broker does not let us hear {', '.join(filters)}")

    async def first(self, queue: asyncio.Queue[_T]) -> _T:
        """Wait for the next of a queue. Raises SessionError if the connection is lost before."""
        if not queue.empty():
            return queue.get_nowait()
        return await self._unless_lost(asyncio.ensure_future(queue.get()))

    def publish(self, said: Iterable[tuple[str, bytes]]) -> None:
        """Publish topics and payloads at QoS 0. Raises SessionError."""
        if self._lost.done():
            raise self._lost.result()
        for topic, payload in said:
            self._client.publish(topic, payload, qos=0)

    async def close(self) -> None:
        """Say goodbye, and let go of the connection."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(GOODBYE_S):
                await self._client.disconnect()

    async def _answered(self, waiting: "asyncio.Future[_T]") -> _T:
        """Return the broker's answer. Raises SessionError when there is none in time."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._unless_lost(waiting)
        except TimeoutError:
            raise SessionError("the broker does not answer") from None

    async def _unless_lost(self, waiting: "asyncio.Future[_T]") -> _T:
        """Return what is waited for. Raises SessionError when the connection is lost before."""
        try:
            await asyncio.wait((waiting, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise self._lost.result()
            return waiting.result()
        finally:
            waiting.cancel()

    def _on_granted(self, granted: tuple[int, ...]) -> None:
        if not self._granted.done():
            self._granted.set_result(granted)

    def _on_lost(self) -> None:
        if not self._lost.done():
            self._lost.set_result(SessionError("the connection is lost"))
