"""MQTT session: one connection to the broker through aiomqtt, with a client of its own that ends with it.

What flows in: messages from the broker, each passed to a callback as topic and payload. What flows out: subscriptions
at QoS 1 and publications at QoS 0. paho acknowledges a QoS 1 message on receipt; worker.py says why that is enough.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar, cast
from uuid import uuid4

import aiomqtt
import paho.mqtt.client as mqtt
from aiomqtt.exceptions import MqttConnectError

from cloud.ingest.buffered_socket import PlainContext, TlsSocket

KEEP_ALIVE_S = 60  # seconds of silence after which either side pings; the connection is lost after twice that
GOODBYE_S = 1.0
ANSWER_S = 10.0  # for the broker to accept a connection, a subscription or a publication
CONNECTION_LOST = "the connection is lost"
_REFUSED = 128  # granted QoS codes from here on are refusals (MQTT 3.1.1, 3.9.3)

_paho_log = logging.getLogger(f"{__name__}.paho")
_paho_log.setLevel(logging.CRITICAL)  # the worker reports a lost connection once

OnMessage = Callable[[str, bytes], None]
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
    """The broker is unreachable, refuses the session or has closed it."""


class _Client(aiomqtt.Client):
    def publish_soon(self, topic: str, payload: bytes) -> None:
        """Write a message at QoS 0 when the socket next takes it. Raises aiomqtt.MqttError if the connection is lost.

        `publish` makes an event, a task and a timer for each message, and waits until that message is written.
        """
        result = self._client.publish(topic, payload, qos=0)
        if result.rc != mqtt.MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(result.rc, CONNECTION_LOST)


class _Receiver(asyncio.Queue[aiomqtt.Message]):
    """The queue type given to aiomqtt: it stays empty, because each message goes to the callback at once."""

    def __init__(self, on_message: OnMessage) -> None:
        super().__init__()
        self._on_message = on_message

    def put_nowait(self, item: aiomqtt.Message) -> None:
        self._on_message(item.topic.value, item.payload)


@asynccontextmanager
async def connected(broker: BrokerAddress, on_message: OnMessage) -> AsyncIterator["MqttSession"]:
    """Hold a session for as long as the block runs; `on_message` gets topic and payload. Raises SessionError."""
    client = _client(broker, on_message)
    try:
        await _connect(client)
        session = MqttSession(client)
        try:
            yield session
        finally:
            session.close()
    finally:
        with suppress(aiomqtt.MqttError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await client.__aexit__(None, None, None)


async def _connect(client: aiomqtt.Client) -> None:
    """Connect and wait for the broker's answer. Raises SessionError.

    aiomqtt does not report a connection that ends before the answer; it ends with the time-out.
    """
    try:
        await client.__aenter__()
    except MqttConnectError as error:
        raise SessionError(f"the broker refuses the connection: {error}") from error
    except (aiomqtt.MqttError, OSError, UnicodeError) as error:  # unreachable, silent, not trusted, not a host name
        raise SessionError(str(error)) from error


def _client(broker: BrokerAddress, on_message: OnMessage) -> _Client:
    try:
        context = _tls(broker.ca_file) if broker.tls else cast("ssl.SSLContext", PlainContext())
    except OSError as error:  # the file may be about to be replaced
        raise SessionError(str(error)) from error
    return _Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        tls_context=context,
        clean_session=True,  # the broker keeps nothing for this client between connections
        keepalive=KEEP_ALIVE_S,
        timeout=ANSWER_S,
        identifier=uuid4().hex,
        queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", lambda maxsize: _Receiver(on_message)),  # noqa: ARG005
        logger=_paho_log,
    )


def _tls(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.sslsocket_class = TlsSocket
    return context


class MqttSession:
    """A connected client: subscribe, wait for messages, publish."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._lost = asyncio.ensure_future(anext(client.messages))  # ends with the connection: the queue stays empty
        self._lost.add_done_callback(lambda lost: lost.cancelled() or lost.exception())  # or asyncio logs the exception

    async def subscribe(self, *filters: str) -> None:
        """Subscribe to these topic filters at QoS 1, in this order. Raises SessionError."""
        with _session_errors(self._lost):
            granted = await self._client.subscribe([(each, 1) for each in filters])
        codes = [code if isinstance(code, int) else code.value for code in granted]
        if len(codes) != len(filters) or max(codes) >= _REFUSED:
            raise SessionError(f"the broker refuses the subscription to {', '.join(filters)}")

    async def first(self, queue: asyncio.Queue[_T]) -> _T:
        """Wait for the next item of a queue. Raises SessionError if the connection is lost before."""
        if not queue.empty():
            return queue.get_nowait()
        waiting = asyncio.ensure_future(queue.get())
        try:
            await asyncio.wait((waiting, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise SessionError(CONNECTION_LOST)
            return waiting.result()
        finally:
            waiting.cancel()

    async def publish(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish topics and payloads at QoS 0, in this order; return when all are written. Raises SessionError."""
        last: tuple[str, bytes] | None = None
        with _session_errors(self._lost):
            for message in messages:
                if last:
                    self._client.publish_soon(*last)
                last = message
            if last:
                await self._client.publish(*last, qos=0)  # written after those before it

    async def publish_retained(self, topic: str, payload: bytes) -> None:
        """Publish a message that the broker keeps for whoever subscribes later; return when it has it."""
        with _session_errors(self._lost):
            await self._client.publish(topic, payload, qos=1, retain=True)

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._lost.done()

    def close(self) -> None:
        """Stop watching the connection."""
        self._lost.cancel()


@contextmanager
def _session_errors(lost: "asyncio.Future[aiomqtt.Message]") -> Iterator[None]:
    """Raise SessionError in place of aiomqtt's errors."""
    try:
        yield
    except aiomqtt.MqttError as error:
        raise SessionError(CONNECTION_LOST if lost.done() else str(error)) from error
