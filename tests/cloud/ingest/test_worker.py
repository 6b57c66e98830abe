"""The way from a device's publish to its acknowledgement, over a real broker, through every outage on it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import AsyncMock

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.change_signal import ChangeSignal
from cloud.ingest.batch_writer import BatchWriter
from cloud.ingest.counters import DropReason
from cloud.ingest.embedded_broker import embedded_broker
from cloud.ingest.fair_queue import BURST_S, PARSING_SHARE, Limits, QueuedMessage
from cloud.ingest.mqtt_session import BrokerAddress
from cloud.ingest.parsing import ParsedMessage, ReceivedMessage, parse
from cloud.ingest.transaction import WriteResult
from cloud.ingest.worker import BATCH_RECORDS, IngestWorker, acknowledgements
from cloud.store.database import Database
from cloud.store.streams import StreamKey
from cloud.store.tables import DeadLetter, Device, SupportCase
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import LaneAck, decode_ack
from edge_agent.protocol.topics import Channel, Lane, topic
from tests.builders import DEVICE, NOON, STREAM, a_finding, a_presence, a_telemetry_message, an_envelope, an_id
from tests.cloud.ingest.test_fair_queue import PLENTY
from tests.cloud.pump import HOST, a_pump

CRITICAL = an_envelope(1, a_finding(severity=Severity.CRITICAL))


@contextlib.asynccontextmanager
async def ingesting(
    broker: int | BrokerAddress, database: Database, change_signal: ChangeSignal, limits: Limits = PLENTY
) -> AsyncIterator[IngestWorker]:
    address = BrokerAddress(host=HOST, port=broker) if isinstance(broker, int) else broker
    writer = BatchWriter(database, CaseService(Rules()))
    later = NOON + timedelta(seconds=1)
    ingest = IngestWorker(address, writer, change_signal, now=lambda: later, limits=limits, backoff_min_s=0.02)
    task = asyncio.create_task(ingest.run())
    try:
        yield ingest
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_finding_is_acknowledged_when_its_case_is_open_and_the_change_is_signalled(
    port: int, sqlite: Database
) -> None:
    change_signal = ChangeSignal()
    signalled = asyncio.create_task(change_signal.wait(10))
    async with embedded_broker(HOST, port), ingesting(port, sqlite, change_signal), a_pump(port) as pump:
        assert await pump.acked(CRITICAL) == LaneAck(stream=STREAM, up_to=1)
        async with sqlite.read() as session:
            assert await session.scalar(select(SupportCase.severity)) == Severity.CRITICAL
        assert await signalled


def test_a_device_gets_one_acknowledgement_for_both_lanes_and_one_more_for_another_stream_of_a_lane() -> None:
    stored = {
        StreamKey(DEVICE, Lane.TELEMETRY, an_id(1)): 7,
        StreamKey(DEVICE, Lane.FINDINGS, an_id(2)): 3,
        StreamKey("pump-08", Lane.FINDINGS, an_id(3)): 1,
        StreamKey(DEVICE, Lane.TELEMETRY, an_id(4)): 2,
    }
    acks = [
        (device, {lane: published.up_to for lane, published in decode_ack(ack).lanes.items()})
        for device, ack in acknowledgements(stored)
    ]
    assert acks == [
        (DEVICE, {Lane.TELEMETRY: 7, Lane.FINDINGS: 3}),
        ("pump-08", {Lane.FINDINGS: 1}),
        (DEVICE, {Lane.TELEMETRY: 2}),
    ]


async def test_who_was_there_before_the_cloud_is_known_from_its_retained_word(port: int, sqlite: Database) -> None:
    change_signal = ChangeSignal()
    async with embedded_broker(HOST, port):
        async with a_pump(port) as pump:
            await pump.publish(Channel.PRESENCE, a_presence(), retain=True)
        signalled = asyncio.create_task(change_signal.wait(10))
        async with ingesting(port, sqlite, change_signal):
            assert await signalled
    async with sqlite.read() as session:
        assert await session.scalar(select(Device.presence)) == "online"


async def test_a_lost_broker_is_logged_once_and_its_return_once_and_ingestion_continues(
    port: int, sqlite: Database, caplog: pytest.LogCaptureFixture
) -> None:
    first = contextlib.AsyncExitStack()
    await first.enter_async_context(embedded_broker(HOST, port))
    async with ingesting(port, sqlite, ChangeSignal()):
        async with a_pump(port) as pump:
            await pump.acked(CRITICAL)
        await first.aclose()
        await asyncio.sleep(0.5)
        async with embedded_broker(HOST, port), a_pump(port) as pump:
            assert (await pump.acked(an_envelope(2, a_finding()))).up_to == 2
        async with asyncio.timeout(30):
            while len(caplog.records) < 3:  # noqa: ASYNC110  the log has no event to wait for
                await asyncio.sleep(0.02)
    reported = [record.message.removeprefix(f"broker {HOST}:{port}") for record in caplog.records]
    lost = ": the connection is lost; trying again"
    assert reported == [lost, " is back", lost]


async def test_a_database_that_fails_gives_no_acknowledgement_until_it_is_back(
    port: int, sqlite: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with embedded_broker(HOST, port), ingesting(port, sqlite, ChangeSignal()) as ingest, a_pump(port) as pump:
        await pump.acked(CRITICAL)
        async with sqlite.begin() as session:
            await session.execute(text("ALTER TABLE record RENAME TO away"))
        waiting = asyncio.create_task(pump.acked(an_envelope(2, a_finding())))
        await asyncio.sleep(0.7)
        assert not waiting.done()
        assert ingest.counters.dropped[DropReason.DATABASE] > 1
        async with sqlite.begin() as session:
            await session.execute(text("ALTER TABLE away RENAME TO record"))
        assert (await waiting).up_to == 2
    reported = [record.message for record in caplog.records if record.message.startswith("database")]
    assert [message.partition(":")[0] for message in reported] == ["database", "database is back"]


async def test_presence_that_met_trouble_of_the_database_is_not_lost(port: int, sqlite: Database) -> None:
    async with embedded_broker(HOST, port), ingesting(port, sqlite, ChangeSignal()) as ingest, a_pump(port) as pump:
        await pump.acked(CRITICAL)
        async with sqlite.begin() as session:
            await session.execute(text("ALTER TABLE device RENAME TO away"))
        await pump.publish(Channel.PRESENCE, a_presence())
        await asyncio.sleep(0.5)
        assert ingest.counters.dropped[DropReason.DATABASE] == 1
        async with sqlite.begin() as session:
            await session.execute(text("ALTER TABLE away RENAME TO device"))
        await asyncio.sleep(1.5)
    async with sqlite.read() as session:
        assert await session.scalar(select(Device.presence)) == "online"


async def test_trouble_makes_batches_smaller_so_that_what_causes_it_ends_alone(sqlite: Database) -> None:
    class Picky(BatchWriter):
        async def write(self, batch: Sequence[ParsedMessage]) -> WriteResult:
            sizes.append(len(batch))
            if any("culprit" in message.received.topic for message in batch):
                raise SQLAlchemyError("too many parameters")
            return await super().write(batch)

    sizes: list[int] = []
    writer = Picky(sqlite, CaseService(Rules()))
    address = BrokerAddress(host=HOST, port=1)
    ingest = IngestWorker(address, writer, ChangeSignal(), now=lambda: NOON, limits=PLENTY)
    session = AsyncMock()
    for _ in range(3):
        for number in range(8):
            name = "culprit" if number == 3 else f"pump-{number}"
            published = QueuedMessage.of(topic(name, Channel.FINDINGS), CRITICAL)
            ingest._queue.put_nowait(published)
    ingest._batch_max = 8
    while not ingest._queue.empty():
        await ingest._write(session, ingest._next_batch(ingest._queue.get_nowait()))
    assert min(sizes) < max(sizes)
    assert ingest.counters.committed


def test_a_batch_is_bounded_by_its_records(sqlite: Database) -> None:
    address = BrokerAddress(host=HOST, port=1)
    ingest = IngestWorker(
        address, BatchWriter(sqlite, CaseService(Rules())), ChangeSignal(), now=lambda: NOON, limits=PLENTY
    )
    for first in range(1, 10_000, 256):
        payload = a_telemetry_message(first, *[b"x"] * 256)
        ingest._queue.put_nowait(QueuedMessage.of(topic(DEVICE, Channel.TELEMETRY), payload))
    assert len(ingest._next_batch(ingest._queue.get_nowait())) <= BATCH_RECORDS // 256


async def test_what_nobody_can_read_is_dead_lettered_and_the_next_message_is_taken(port: int, sqlite: Database) -> None:
    async with embedded_broker(HOST, port), ingesting(port, sqlite, ChangeSignal()), a_pump(port) as pump:
        await pump.acked(CRITICAL)
        await pump.publish(Channel.FINDINGS, b"rubbish")
        assert (await pump.acked(an_envelope(2, a_finding()))).up_to == 2
    async with sqlite.read() as session:
        assert (await session.scalars(select(DeadLetter.payload))).all() == [b"rubbish"]


async def test_a_device_pays_for_the_time_that_its_messages_take_to_be_read(
    port: int, sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    uptime_s = [50.0]

    def slow(message: ReceivedMessage) -> ParsedMessage:
        uptime_s[0] += BURST_S * PARSING_SHARE * 2
        return parse(message)

    monkeypatch.setattr("cloud.ingest.worker.parse", slow)
    monkeypatch.setattr("cloud.ingest.worker.time", SimpleNamespace(monotonic=lambda: uptime_s[0]))
    async with embedded_broker(HOST, port), ingesting(port, sqlite, ChangeSignal()) as ingest, a_pump(port) as pump:
        await pump.acked(CRITICAL)
        await pump.publish(Channel.FINDINGS, an_envelope(2, a_finding()))
        await asyncio.sleep(0.5)
        assert ingest.counters.dropped[DropReason.TOO_FAST]


async def test_a_broker_whose_certificate_nobody_vouches_for_is_refused(
    port: int, sqlite: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=127.0.0.1"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    received = asyncio.Event()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            received.set()
        writer.close()

    address = BrokerAddress(host=HOST, port=port, tls=True)
    async with await asyncio.start_server(hear, HOST, port, ssl=tls), ingesting(address, sqlite, ChangeSignal()):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(received.wait(), 0.5)
    assert not received.is_set()
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.messages[0]
