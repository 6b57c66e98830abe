"""What staff expect reaches the broker as a retained message, also one that forgets, and also before it is there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta

import aiomqtt
from sqlalchemy import select

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.cases.outcomes import Label, Outcome
from cloud.change_signal import ChangeSignal
from cloud.ingest import BrokerAddress, ExpectedPublisher, embedded_broker
from cloud.outcomes import outcome_followers
from cloud.store.database import Database
from cloud.store.outcome_tables import ExpectedMessage
from cloud.store.tables import Device
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import decode_expected
from edge_agent.protocol.topics import Channel, topic
from tests.builders import DEVICE, NOON, a_finding
from tests.cloud.pump import HOST

SERVICE = CaseService(Rules(), outcome_followers())


@contextlib.asynccontextmanager
async def publishing(port: int, database: Database, change_signal: ChangeSignal) -> AsyncIterator[None]:
    broker = BrokerAddress(host=HOST, port=port)
    task = asyncio.create_task(ExpectedPublisher(broker, database, change_signal, now=lambda: NOON).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def retained(port: int) -> list[str]:
    """The faults in the message that a device gets when it connects; wait until there is one."""
    async with asyncio.timeout(30), aiomqtt.Client(HOST, port, identifier=DEVICE) as client:
        await client.subscribe(topic(DEVICE, Channel.EXPECTED), qos=1)
        async for message in client.messages:
            return [one.fault for one in decode_expected(bytes(message.payload)).expected]
    raise AssertionError("the connection ended")


async def is_marked(database: Database) -> bool:
    """Whether the message is noted as published."""
    async with database.read() as session:
        row = await session.scalar(select(ExpectedMessage))
    return row is not None and row.published == row.version


async def closed_as_expected(database: Database) -> None:
    async with database.begin() as session:
        session.add(Device(device=DEVICE, first_seen=NOON, last_seen=NOON))
        await session.flush()
        finding = a_finding(fault="service.failed", component="backup.service", severity=Severity.HIGH, since_s=-60)
        await SERVICE.apply_finding(session, DEVICE, finding, NOON)
        await SERVICE.tick(session, NOON + timedelta(seconds=6))
        await SERVICE.staff.close(session, 1, "alice", Outcome(label=Label.EXPECTED), NOON)


async def test_a_label_is_published_and_again_to_a_broker_that_has_forgotten_it(port: int, sqlite: Database) -> None:
    change_signal = ChangeSignal()
    await closed_as_expected(sqlite)
    async with publishing(port, sqlite, change_signal):
        async with embedded_broker(HOST, port):
            assert await retained(port) == ["service.failed"]
        async with embedded_broker(HOST, port):
            assert await retained(port) == ["service.failed"]
            async with asyncio.timeout(30):
                while not await is_marked(sqlite):  # noqa: ASYNC110  the database has no event to wait for
                    await asyncio.sleep(0.05)


async def test_reopening_replaces_the_message_with_one_that_expects_nothing(port: int, sqlite: Database) -> None:
    change_signal = ChangeSignal()
    await closed_as_expected(sqlite)
    async with embedded_broker(HOST, port), publishing(port, sqlite, change_signal):
        assert await retained(port) == ["service.failed"]
        async with sqlite.begin() as session:
            await SERVICE.staff.reopen(session, 1, "bob", "it was not", NOON)
        change_signal.notify()
        async with asyncio.timeout(30):
            while await retained(port):  # noqa: ASYNC110  the broker has no event to wait for
                await asyncio.sleep(0.05)


async def test_nothing_is_lost_when_the_broker_comes_later(port: int, sqlite: Database) -> None:
    async with publishing(port, sqlite, ChangeSignal()):
        await closed_as_expected(sqlite)
        await asyncio.sleep(0.2)
        async with embedded_broker(HOST, port):
            assert await retained(port) == ["service.failed"]
