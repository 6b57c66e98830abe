"""The session with the broker: whole messages out of any pieces, acknowledged; every way to lose it has its reason."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from cloud.ingest import mqtt_session as module
from cloud.ingest.mqtt_session import BrokerAddress, SessionError, connected
from tests.cloud.pump import HOST
from tests.wire import packet

WELCOME = b"\x20\x02\x00\x00"
GRANTED = b"\x90\x03\x00\x01\x01"
Received = list[tuple[str, bytes]]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def packet_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One packet of at most 127 bytes."""
    kind, length = await reader.readexactly(2)
    return kind, await reader.readexactly(length)


@contextlib.asynccontextmanager
async def a_listener(port: int, answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Answers each client as reason until it has nothing more to say, and leaves no connection behind."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.Event()
        all_ended.append(ended)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        ended.set()

    all_ended: list[asyncio.Event] = []
    async with await asyncio.start_server(serve, HOST, port, ssl=tls):
        yield
        for ended in all_ended:
            await ended.wait()


@contextlib.asynccontextmanager
async def a_broker(port: int, answer: Answer) -> AsyncIterator[BrokerAddress]:
    """Lets a client in, then answers as reason."""

    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await packet_of(reader))[0] == 0x10
        await answer(reader, writer)

    async with a_listener(port, welcome):
        yield BrokerAddress(host=HOST, port=port)


def saying(*pieces: bytes, then_silent: bool = False) -> Answer:
    """Answer the client's first packets with one piece each."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, piece in enumerate(pieces):
            if number:
                await packet_of(reader)
            writer.write(piece)
        if then_silent:
            await reader.read()

    return answer


async def reason_of(address: BrokerAddress, hear: Callable[[str, bytes], None] = lambda _topic, _payload: None) -> str:
    """Why a session that asks for a topic and waits for messages ends."""
    try:
        async with asyncio.timeout(5), connected(address, hear) as session:
            await session.subscribe("a/+")
            await session.first(asyncio.Queue[None]())
    except SessionError as error:
        return str(error)
    raise AssertionError("it has not ended")


async def test_messages_come_whole_in_whatever_pieces_they_come_and_each_is_acknowledged(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WELCOME)
        stream = b"".join(packet(topic, payload, number) for number, (topic, payload) in enumerate(messages))
        for first in range(0, len(stream), 50_021):
            writer.write(stream[first : first + 50_021])
            await writer.drain()
            await asyncio.sleep(0.001)
        acks.append(await reader.readexactly(4 * len(messages)))
        done.set()

    messages = [("a", b""), ("a/b", bytes(3 << 20)), *((f"c/{number}", bytes(number)) for number in range(200))]
    acks: list[bytes] = []
    received: list[tuple[str, bytes]] = []
    done = asyncio.Event()
    async with a_broker(port, answer) as address, connected(address, lambda *message: received.append(message)):
        await asyncio.wait_for(done.wait(), 10)
    assert received == messages
    assert acks == [b"".join(b"\x40\x02" + (number + 1).to_bytes(2, "big") for number in range(len(messages)))]


async def test_what_it_publishes_reaches_the_broker_in_packets_of_any_length(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WELCOME)
        read.append(await reader.read())

    read: list[bytes] = []
    messages = [("a/ack", bytes(length)) for length in (0, 1, 120, 121, 16_376)]
    async with a_broker(port, answer) as address:
        async with connected(address, lambda _topic, _payload: None) as session:
            await session.publish(messages)
        await asyncio.sleep(0.1)
    lengths = (b"\x07", b"\x08", b"\x7f", b"\x80\x01", b"\xff\x7f")
    packets = (
        b"\x30" + length + b"\x00\x05a/ack" + payload for length, (_, payload) in zip(lengths, messages, strict=True)
    )
    assert read == [b"".join(packets) + b"\xe0\x00"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (saying(b"\x20\x02\x00\x05"), "refuses the connection: [code:135] Not authorized"),
        (saying(b"\x20\x02\x00\x63"), "refuses the connection: [code:128] Unspecified error"),
        (saying(WELCOME, b"\x90\x03\x00\x01\x80", then_silent=True), "refuses the subscription to a/+"),
        (saying(WELCOME, GRANTED), "the connection is lost"),
    ],
)
async def test_a_session_ends_with_its_reason(port: int, answer: Answer, reason: str) -> None:
    async with a_broker(port, answer) as address:
        assert reason in await reason_of(address)


async def test_a_broker_that_is_not_there_is_a_reason_too(port: int) -> None:
    assert "Connection refused" in await reason_of(BrokerAddress(host=HOST, port=port))


async def test_an_authority_that_is_not_there_now_and_a_name_that_is_none_are_reasons_too(port: int) -> None:
    """The file may just be being replaced: it is tried again, and nothing else ends."""
    gone = BrokerAddress(host=HOST, port=port, tls=True, ca_file="/nowhere/ca.pem")
    assert "No such file" in await reason_of(gone)
    assert await reason_of(BrokerAddress(host="a..b", port=port))


@pytest.mark.parametrize("messages", [(), (b"\x20\x00",), (WELCOME,)])
async def test_a_broker_that_does_not_answer_as_it_should_is_left(
    port: int, monkeypatch: pytest.MonkeyPatch, messages: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.2)
    async with a_broker(port, saying(*messages, then_silent=True)) as address:
        assert await reason_of(address) == "Operation timed out"


async def test_a_broker_that_falls_silent_is_left(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 1)
    async with a_broker(port, saying(WELCOME, GRANTED, then_silent=True)) as address:
        assert await reason_of(address) == "the connection is lost"


async def test_name_and_password_are_sent_and_no_session_is_kept_at_the_broker(port: int) -> None:
    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        messages.append(await packet_of(reader))
        writer.write(WELCOME)
        await reader.read()

    messages: list[tuple[int, bytes]] = []
    address = BrokerAddress(host=HOST, port=port, username="cloud", password="sesame")
    async with a_listener(port, hear), connected(address, lambda _topic, _payload: None):
        pass
    (kind, body), name = messages[0], 32
    assert (kind, body[:12]) == (0x10, b"\x00\x04MQTT\x04\xc2\x00\x3c\x00" + bytes([name]))
    assert body[12 + name :] == b"\x00\x05cloud\x00\x06sesame"


async def test_a_publication_on_a_lost_connection_is_refused(port: int) -> None:
    async with (
        a_broker(port, saying(WELCOME, GRANTED)) as address,
        connected(address, lambda _topic, _payload: None) as session,
    ):
        await session.subscribe("a/+")
        with pytest.raises(SessionError, match="lost"):
            await session.first(asyncio.Queue[None]())
        with pytest.raises(SessionError, match="lost"):
            await session.publish([("a", b"")])


async def test_a_connection_lost_right_after_its_acceptance_fails_the_subscription(port: int) -> None:
    """aiomqtt 2.5 forgets a loss that comes before its `__aenter__` returns; the next call has to notice it."""
    async with a_broker(port, saying(WELCOME)) as address, connected(address, lambda _topic, _payload: None) as session:
        await asyncio.sleep(0.1)
        with pytest.raises(SessionError, match="not currently connected"):
            await session.subscribe("a/+")


async def test_queued_messages_are_taken_before_a_lost_connection_is_reported(port: int) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    async with (
        a_broker(port, saying(WELCOME, GRANTED)) as address,
        connected(address, lambda _topic, _payload: None) as session,
    ):
        await session.subscribe("a/+")
        with pytest.raises(SessionError):
            await session.first(queue)
        queue.put_nowait("queued before")
        assert await session.first(queue) == "queued before"


@pytest.mark.parametrize(
    ("issuer", "reason"), [("ours", "the connection is lost"), ("another", "certificate verify failed")]
)
async def test_only_a_broker_with_a_certificate_of_our_authority_is_trusted(
    port: int, tmp_path: Path, issuer: str, reason: str
) -> None:
    authorities = {"ours": trustme.CA(), "another": trustme.CA()}
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authorities[issuer].issue_cert(HOST).configure_cert(tls)
    authorities["ours"].cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await packet_of(reader)
        writer.write(WELCOME)
        await packet_of(reader)
        writer.write(GRANTED + packet("a", bytes(100_000), 0))

    received: list[int] = []
    address = BrokerAddress(host=HOST, port=port, tls=True, ca_file=str(tmp_path / "ca.pem"))
    async with a_listener(port, answer, tls):
        assert reason in await reason_of(address, lambda _topic, payload: received.append(len(payload)))
    assert received == ([100_000] if issuer == "ours" else [])
