"""The session with the broker: whole messages out of any pieces, acknowledged; every way to lose it has its reason."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import session as module
from cloud.session import BrokerAddress, Session, SessionError, connected
from tests.cloud.pump import HOST
from tests.wire import packet

WELCOME = b"\x20\x02\x00\x00"
GRANTED = b"\x90\x03\x00\x01\x01"
Heard = list[tuple[str, bytes]]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def packet_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One packet of at most 127 bytes."""
    kind, length = await reader.readexactly(2)
    return kind, await reader.readexactly(length)


@contextlib.asynccontextmanager
async def a_listener(port: int, answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Answers each client as told until it has nothing more to say, and leaves no connection behind."""

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
    """Lets a client in, then answers as told."""

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


async def reason_of(address: BrokerAddress) -> str:
    """Why a session that asks for a topic and waits for messages ends."""
    try:
        async with asyncio.timeout(5), connected(address, lambda _topic, _payload: None) as session:
            await session.subscribe("a/+")
            await session.first(asyncio.Queue[None]())
    except SessionError as error:
        return str(error)
    raise AssertionError("it has not ended")


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


async def hearing(*pieces: bytes) -> tuple[Heard, Wire]:
    """What a session hears, and what it says to that."""
    heard: Heard = []
    wire = Wire()
    session = Session(lambda topic, payload: heard.append((topic, payload)))
    session.connection_made(wire)
    for piece in pieces:
        session.data_received(piece)
    session.connection_lost(None)
    return heard, wire


def heard_in(*pieces: bytes) -> tuple[Heard, Wire]:
    return asyncio.run(hearing(*pieces))


MESSAGES = st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=9), st.binary(max_size=300)), max_size=6)


@given(said=MESSAGES, cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_messages_come_whole_however_they_are_cut_and_each_is_acknowledged(said: Heard, cuts: list[int]) -> None:
    stream = b"".join(packet(topic, payload, number) for number, (topic, payload) in enumerate(said))
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    heard, wire = heard_in(*(stream[begin:end] for begin, end in pairwise(places)))
    assert heard == said
    assert wire.written == b"".join(b"\x40\x02" + (number + 1).to_bytes(2, "big") for number in range(len(said)))


def test_a_message_of_megabytes_comes_whole_in_small_pieces() -> None:
    stream = packet("a", bytes(3 << 20), 0) + packet("b", b"after", 1)
    heard, _ = heard_in(*(stream[first : first + 4096] for first in range(0, len(stream), 4096)))
    assert heard == [("a", bytes(3 << 20)), ("b", b"after")]


def test_a_message_at_qos_0_needs_no_acknowledgement() -> None:
    heard, wire = heard_in(b"\x30\x05\x00\x01axy")
    assert heard == [("a", b"xy")]
    assert not wire.written


def test_a_topic_that_is_no_text_is_heard_as_far_as_it_is_one() -> None:
    assert heard_in(b"\x30\x05\x00\x02a\xffy")[0] == [("a�", b"y")]


@pytest.mark.parametrize("nonsense", [b"\x34\x05\x00\x01ax\x00", b"\x32\x03\x00\x09a", b"\x30\xff\xff\xff\xff\x01"])
def test_a_packet_that_nobody_may_send_ends_the_session(nonsense: bytes) -> None:
    heard, wire = heard_in(nonsense)
    assert not heard
    assert wire.aborted


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_upset_a_session(pieces: list[bytes]) -> None:
    heard_in(*pieces)


async def test_what_it_publishes_reaches_the_broker_in_packets_of_any_length(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WELCOME)
        read.append(await reader.read())

    read: list[bytes] = []
    said = [("a/ack", bytes(length)) for length in (0, 1, 120, 121, 16_376, 16_377, 1 << 20)]
    async with a_broker(port, answer) as address, connected(address, lambda _topic, _payload: None) as session:
        await session.publish(said)
    stream, goodbye = read[0][:-2], read[0][-2:]
    assert goodbye == b"\xe0\x00"
    assert (await hearing(stream))[0] == said


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (saying(), "the connection is lost"),
        (saying(b"\x20\x02\x00\x05"), "refuses us: not authorised"),
        (saying(b"\x20\x02\x00\x63"), "refuses us: 99"),
        (saying(b"\x20\x00"), "cut off"),
        (saying(WELCOME, b"\x90\x03\x00\x01\x80", then_silent=True), "does not let us hear a/+"),
        (saying(WELCOME, GRANTED), "the connection is lost"),
        (
            saying(WELCOME, GRANTED + b"\x30\xff\xff\xff\xff\x01", then_silent=True),
            "of a length that MQTT does not have",
        ),
    ],
)
async def test_a_session_ends_with_its_reason(port: int, answer: Answer, reason: str) -> None:
    async with a_broker(port, answer) as address:
        assert reason in await reason_of(address)


async def test_a_broker_that_is_not_there_is_a_reason_too(port: int) -> None:
    assert "Connect call failed" in await reason_of(BrokerAddress(host=HOST, port=port))


async def test_a_broker_that_does_not_answer_is_left(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.1)
    async with a_broker(port, saying(then_silent=True)) as address:
        assert await reason_of(address) == "the broker does not answer"


async def test_a_broker_that_falls_silent_is_left(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.1)
    async with a_broker(port, saying(WELCOME, GRANTED, then_silent=True)) as address:
        assert await reason_of(address) == "the broker is silent"


async def test_a_broker_that_answers_our_signs_of_life_is_kept(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WELCOME)
        for _ in range(5):
            assert await packet_of(reader) == (0xC0, b"")
            writer.write(b"\xd0\x00")
        outlived.set()

    outlived = asyncio.Event()
    monkeypatch.setattr(module, "BEAT_S", 0.05)
    async with a_broker(port, answer) as address, connected(address, lambda _topic, _payload: None):
        await asyncio.wait_for(outlived.wait(), 5)


async def test_name_and_password_are_said_and_nothing_is_to_be_kept_for_us(port: int) -> None:
    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(await packet_of(reader))
        writer.write(WELCOME)
        await reader.read()

    said: list[tuple[int, bytes]] = []
    address = BrokerAddress(host=HOST, port=port, username="cloud", password="sesame")
    async with a_listener(port, hear), connected(address, lambda _topic, _payload: None):
        pass
    assert said == [(0x10, b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x00\x00\x05cloud\x00\x06sesame")]


async def test_a_publish_on_a_lost_connection_says_so(port: int) -> None:
    async with a_broker(port, saying(WELCOME)) as address, connected(address, lambda _topic, _payload: None) as session:
        with pytest.raises(SessionError, match="lost"):
            await session.first(asyncio.Queue[None]())
        with pytest.raises(SessionError, match="lost"):
            await session.publish([("a", b"")])


async def test_what_waits_already_is_taken_before_a_loss_is_told(port: int) -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()
    async with a_broker(port, saying(WELCOME)) as address, connected(address, lambda _topic, _payload: None) as session:
        with pytest.raises(SessionError):
            await session.first(queue)
        queue.put_nowait("said before")
        assert await session.first(queue) == "said before"


async def test_who_publishes_more_than_the_broker_reads_waits_for_it(port: int) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WELCOME)
        await go_on.wait()
        await reader.read()

    go_on = asyncio.Event()
    async with a_broker(port, answer) as address, connected(address, lambda _topic, _payload: None) as session:
        publishing = asyncio.create_task(session.publish([("a", bytes(16 << 20))]))
        await asyncio.sleep(0.2)
        assert not publishing.done()
        go_on.set()
        await asyncio.wait_for(publishing, 5)


async def test_a_broker_with_a_certificate_of_our_authority_is_trusted(port: int, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=broker"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(2)
        writer.write(WELCOME + packet("a", bytes(100_000), 0))
        await reader.read()

    heard: asyncio.Queue[int] = asyncio.Queue()
    address = BrokerAddress(host=HOST, port=port, tls=True, ca_file=str(certificate))
    async with (
        a_listener(port, hear, tls),
        connected(address, lambda _topic, payload: heard.put_nowait(len(payload))) as session,
    ):
        assert await session.first(heard) == 100_000
