"""The health of the ingest, and what it stores by which the cloud knows that a device is alive."""

import asyncio
import contextlib
from datetime import datetime, timedelta

from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.cases.pipeline import DATABASE, PipelineRules, find_stop
from cloud.change_signal import ChangeSignal
from cloud.ingest import BatchWriter, BrokerAddress, IngestHealth, IngestWorker, embedded_broker
from cloud.ingest.parsing import ReceivedMessage, parse
from cloud.store.database import Database
from cloud.store.tables import DeadLetter, Device
from edge_agent.protocol.records import Presence, PresenceState, decode_presence, encode
from edge_agent.protocol.topics import Channel, topic
from tests.builders import DEVICE, NOON, a_chunk, a_finding, a_presence, a_telemetry_message, an_envelope
from tests.cloud.ingest.test_fair_queue import PLENTY
from tests.cloud.ingest.test_transaction import rows
from tests.cloud.pump import HOST, a_pump


def at(after_s: float) -> datetime:
    return NOON + timedelta(seconds=after_s)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def test_silence_means_nothing_before_the_connection_and_while_messages_wait() -> None:
    clock = Clock()
    health = IngestHealth(clock)
    assert health.listening_since(clock.now) is None
    clock.now = at(10)
    health.connected()
    assert health.listening_since(at(99)) == at(10)
    clock.now = at(100)
    health.received()
    assert health.listening_since(at(110)) == at(10), "that is an ordinary batch"
    assert health.listening_since(at(111)) is None
    clock.now = at(200)
    health.committed(is_empty=True)
    assert health.listening_since(at(300)) == at(200)


def test_repeated_failures_to_connect_are_one_outage_since_the_first() -> None:
    clock = Clock()
    health = IngestHealth(clock)
    health.connected()
    for seconds in (5, 50, 500):
        clock.now = at(seconds)
        health.disconnected(f"refused at {seconds}")
    assert (health.state.disconnected_since, health.state.failure) == (at(5), "refused at 500")


async def test_a_worker_that_is_stuck_behind_the_database_is_seen_from_outside(port: int, sqlite: Database) -> None:
    clock = Clock()
    writer = BatchWriter(sqlite, CaseService(Rules()))
    broker = BrokerAddress(host=HOST, port=port)
    worker = IngestWorker(broker, writer, ChangeSignal(), now=clock, limits=PLENTY, backoff_min_s=0.02)
    async with embedded_broker(HOST, port):
        task = asyncio.create_task(worker.run())
        async with a_pump(port) as pump:
            async with sqlite.begin():  # somebody holds the only lock
                while worker.health.state.waiting_since is None:
                    await pump.publish(Channel.FINDINGS, an_envelope(1, a_finding()))
                    await asyncio.sleep(0.05)
                stop = find_stop(worker.health.state, PipelineRules(), at(61))
                assert stop is not None
                assert (stop.component, stop.since) == (DATABASE, NOON)
            await pump.acked(an_envelope(1, a_finding()))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def send(database: Database, channel: Channel, payload: bytes, after_s: float, writer: BatchWriter) -> None:
    await writer.write([parse(ReceivedMessage(topic(DEVICE, channel), payload, at(after_s)))])


async def test_telemetry_is_dated_by_its_arrival_and_findings_leave_that_alone(database: Database) -> None:
    writer = BatchWriter(database, CaseService(Rules()))
    await send(database, Channel.FINDINGS, an_envelope(1, a_finding()), 1, writer)
    (device,) = await rows(database, Device)
    assert (device.last_seen, device.telemetry_at) == (at(1), None)
    await send(database, Channel.TELEMETRY, a_telemetry_message(1, a_chunk()), 2, writer)
    await send(database, Channel.FINDINGS, an_envelope(2, a_finding()), 60, writer)
    (device,) = await rows(database, Device)
    assert (device.last_seen, device.telemetry_at) == (at(60), at(2))


async def test_a_device_announces_its_interval_and_an_older_agent_none(database: Database) -> None:
    writer = BatchWriter(database, CaseService(Rules()))
    presence = decode_presence(a_presence())
    await send(database, Channel.PRESENCE, encode(_every(presence, 3600.0)), 0, writer)
    assert (await rows(database, Device))[0].telemetry_every_s == 3600.0
    await send(database, Channel.PRESENCE, a_presence(), 1, writer)
    assert (await rows(database, Device))[0].telemetry_every_s is None


def _every(presence: Presence, seconds: float) -> Presence:
    return presence.model_copy(update={"telemetry_every_s": seconds})


async def test_a_last_will_after_an_announced_shutdown_changes_nothing(database: Database) -> None:
    writer = BatchWriter(database, CaseService(Rules()))
    for seconds, state in enumerate((PresenceState.ONLINE, PresenceState.GOING_DOWN, PresenceState.OFFLINE)):
        await send(database, Channel.PRESENCE, a_presence(state), seconds, writer)
    (device,) = await rows(database, Device)
    assert (device.presence, device.presence_at) == ("going_down", at(1))


async def test_a_fault_that_only_the_cloud_observes_is_dead_lettered_when_a_device_sends_it(
    database: Database,
) -> None:
    writer = BatchWriter(database, CaseService(Rules()))
    await send(database, Channel.FINDINGS, an_envelope(1, a_finding(fault="ingest.stopped")), 0, writer)
    (letter,) = await rows(database, DeadLetter)
    assert "only the cloud itself reports ingest.stopped" in letter.cause
