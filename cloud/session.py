"""Session: one connection to the broker, in as much of MQTT 3.1.1 as the ingest needs.

What flows in: the broker's packets. What flows out: what was heard, to a callback, as topic and payload; publishes at
QoS 0. What is heard at QoS 1 is acknowledged at once, all that came in one piece together: a client that reads and
writes each packet by itself spends on that about as long as the ingest does on everything else (ADR 12).

Layout and words of the packets are those of the OASIS standard: type and flags, length, then what the type asks for.
"""

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

KEEP_ALIVE_S = 60  # after which the broker may take us for dead
BEAT_S = 30.0  # between our signs of life; whoever has not answered one by the next is taken for dead
ANSWER_S = 10.0  # to connect, and to answer
GOODBYE_S = 1.0

_CONNACK, _PUBLISH, _SUBACK = 0x20, 0x30, 0x90
_PINGREQ, _DISCONNECT = b"\xc0\x00", b"\xe0\x00"
_AT_QOS_1, _AT_QOS_2 = 0x02, 0x04
_FAILURE = 0x80
_REFUSALS = {
    1: "it does not speak MQTT 3.1.1",
    2: "it takes no client without a name",
    3: "it is not available",
    4: "bad user name or password",
    5: "not authorised",
}

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


@asynccontextmanager
async def connected(broker: BrokerAddress, hear: Callable[[str, bytes], None]) -> AsyncIterator["Session"]:
    """A session for as long as the block runs; `hear` is told topic and payload. Raises SessionError."""
    loop = asyncio.get_running_loop()
    tls = ssl.create_default_context(cafile=broker.ca_file) if broker.tls else None
    try:
        async with asyncio.timeout(ANSWER_S):
            _, session = await loop.create_connection(lambda: Session(hear), broker.host, broker.port, ssl=tls)
    except OSError as error:
        raise SessionError(str(error) or "no connection in time") from error
    try:
        await session.introduce(broker.username, broker.password)
        yield session
    finally:
        await session.close()


class Session(asyncio.Protocol):
    """What is said to the broker, and what it says."""

    def __init__(self, hear: Callable[[str, bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        self._hear = hear
        self._transport: asyncio.Transport
        self._begun = bytearray()  # a packet that has come in part
        self._missing = 0  # bytes of it, at least
        self._answer: asyncio.Future[bytes] = loop.create_future()
        self._lost: asyncio.Future[SessionError] = loop.create_future()
        self._writable = asyncio.Event()
        self._writable.set()
        self._alive = True
        self._beat = loop.call_later(BEAT_S, self._on_beat)

    # What the ingest asks for.

    async def introduce(self, username: str | None, password: str | None) -> None:
        """Say who we are; the broker is to keep nothing for us. Raises SessionError."""
        given = [word for word in (username, password) if word is not None]
        flags = 0x02 | (username is not None) << 7 | (password is not None) << 6
        head = _text("MQTT") + struct.pack(">BBH", 4, flags, KEEP_ALIVE_S)
        _, code = await self._asked(0x10, head + b"".join(map(_text, ["", *given])))
        if code:
            raise SessionError(f"the broker refuses us: {_REFUSALS.get(code, code)}")

    async def subscribe(self, *filters: str) -> None:
        """Ask for these topics at QoS 1, in this order. Raises SessionError."""
        _, _, *codes = await self._asked(0x82, b"\x00\x01" + b"".join(_text(each) + b"\x01" for each in filters))
        if len(codes) != len(filters) or _FAILURE in codes:
            raise SessionError(f"the broker does not let us hear {', '.join(filters)}")

    async def first(self, queue: asyncio.Queue[_T]) -> _T:
        """Wait for the next of a queue. Raises SessionError if the connection is lost before."""
        if not queue.empty():
            return queue.get_nowait()
        waiting = asyncio.ensure_future(queue.get())
        try:
            await self._unless_lost(waiting)
        finally:
            waiting.cancel()
        return waiting.result()

    async def publish(self, said: Iterable[tuple[str, bytes]]) -> None:
        """Publish topics and payloads at QoS 0. Raises SessionError."""
        if self._lost.done():
            raise self._lost.result()
        self._transport.write(b"".join(_packet(_PUBLISH, _text(topic) + payload) for topic, payload in said))
        if not self._writable.is_set():
            waiting = asyncio.ensure_future(self._writable.wait())
            try:
                await self._unless_lost(waiting)
            finally:
                waiting.cancel()

    async def close(self) -> None:
        """Say goodbye, and let go of the connection."""
        if not self._lost.done():
            self._transport.write(_DISCONNECT)
        self._transport.close()
        await asyncio.wait((self._lost,), timeout=GOODBYE_S)
        self._transport.abort()

    async def _asked(self, kind: int, body: bytes) -> bytes:
        """Send a packet, and return what the answer says."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(_packet(kind, body))
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._unless_lost(self._answer)
        except TimeoutError:
            raise SessionError("the broker does not answer") from None
        return self._answer.result()

    async def _unless_lost(self, waiting: "asyncio.Future[_T]") -> None:
        await asyncio.wait((waiting, self._lost), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise self._lost.result()

    # What asyncio tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._beat.cancel()
        if not self._lost.done():
            self._lost.set_result(SessionError(str(exc or "the connection is lost")))

    def pause_writing(self) -> None:
        """The broker does not keep up with what we say."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Take the packets that are complete now."""
        self._alive = True
        if self._begun:
            self._begun += data
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = bytes(self._begun)
        try:
            taken, self._missing = self._take(data)
        except SessionError as error:
            self._give_up(error)
        else:
            self._begun = bytearray(data[taken:])

    def _take(self, data: bytes) -> tuple[int, int]:
        """Take all packets that are complete; return where they end, and how much is missing of the next one."""
        at, size = 0, len(data)
        acks: list[bytes] = []
        missing = 0
        while at + 1 < size:
            begin, length = at + 2, data[at + 1]
            if length > 127:
                begin, length = _length(data, at + 1)
            if begin + length > size:
                missing = begin + length - size
                break
            self._on_packet(data[at], data[begin : begin + length], acks)
            at = begin + length
        if acks:
            self._transport.write(b"".join(acks))
        return at, missing

    def _on_packet(self, head: int, body: bytes, acks: list[bytes]) -> None:
        if head & 0xF0 == _PUBLISH:
            rest = 2 + int.from_bytes(body[:2], "big")
            topic = body[2:rest]
            if head & _AT_QOS_1:
                acks.append(b"\x40\x02" + body[rest : rest + 2])
                rest += 2
            if head & _AT_QOS_2 or rest > len(body):
                raise SessionError("the broker sends a message that we did not ask for")
            self._hear(topic.decode(errors="replace"), body[rest:])
        elif head in (_CONNACK, _SUBACK) and not self._answer.done():
            if len(body) < 2:
                raise SessionError("the broker's answer is cut off")
            self._answer.set_result(body)

    def _on_beat(self) -> None:
        if not self._alive:
            self._give_up(SessionError("the broker is silent"))
            return
        self._alive = False
        self._transport.write(_PINGREQ)
        self._beat = asyncio.get_running_loop().call_later(BEAT_S, self._on_beat)

    def _give_up(self, why: SessionError) -> None:
        if not self._lost.done():
            self._lost.set_result(why)
        self._transport.abort()


def _packet(kind: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while left > 127:
        length.append(left & 127 | 128)
        left >>= 7
    return bytes((kind, *length, left)) + body


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Where a packet's body begins, and how long it is: up to four times seven bits, the lowest first."""
    length = 0
    for place, byte in enumerate(data[at : at + 4]):
        length |= (byte & 127) << 7 * place
        if byte < 128:
            return at + place + 1, length
    if len(data) >= at + 4:
        raise SessionError("the broker sends a packet of a length that MQTT does not have")
    return len(data), 1  # the length is cut off itself


def _text(text: str) -> bytes:
    said = text.encode()
    return struct.pack(">H", len(said)) + said
