"""Ingest worker: MQTT messages of all devices are written in batches, and acknowledgements are published.

What flows in: messages that devices publish. What flows out: acknowledgements on `forewarn/v1/{device}/ack`, and a
change signal.

A batch holds the messages that arrived while the previous one was committed, so a lone message never waits for others.
The MQTT session is not persistent, and MQTT's own acknowledgement is sent on receipt: delivery depends on neither,
because a device sends again until it is acknowledged here, after the commit. For the same reason messages may be
dropped when too many wait for the database, and acknowledgements are published at QoS 0.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from cloud.change_signal import ChangeSignal
from cloud.ingest.batch_writer import BatchWriter
from cloud.ingest.counters import Counters, DropReason
from cloud.ingest.fair_queue import FairQueue, Limits, QueuedMessage
from cloud.ingest.health import IngestHealth
from cloud.ingest.mqtt_session import BrokerAddress, MqttSession, SessionError, connected
from cloud.ingest.outage_log import OutageLog
from cloud.ingest.parsing import Delivery, ParsedMessage, ReceivedMessage, parse
from cloud.store.database import is_trouble
from cloud.store.streams import StreamKey
from edge_agent.protocol import topics
from edge_agent.protocol.records import Presence, join_ack
from edge_agent.protocol.topics import Channel, Lane

BATCH_MESSAGES = 512  # in one transaction
BATCH_S = 0.1  # of parsing; a healthy device behind a hostile one waits no longer for it
BATCH_RECORDS = 4096  # beside those of the last message
RETRY_PRESENCE_S = 1.0  # after the database failed
ACK_TELEMETRY_S = 1.0  # while more messages wait: a busy device gets one acknowledgement for several of its messages
BACKOFF_MAX_S = 30.0

_CHANNELS = (Channel.PRESENCE, Channel.FINDINGS, Channel.TELEMETRY)

log = logging.getLogger(__name__)


class IngestWorker:
    """One connection to the broker, established again whenever it is lost."""

    def __init__(
        self,
        broker: BrokerAddress,
        writer: BatchWriter,
        change_signal: ChangeSignal,
        *,
        now: Callable[[], datetime],
        limits: Limits,
        backoff_min_s: float = 1.0,
    ) -> None:
        self._broker = broker
        self._writer = writer
        self._change_signal = change_signal
        self._now = now
        self._backoff_min_s = backoff_min_s
        self._connection_log = OutageLog(f"broker {broker.host}:{broker.port}")
        self._database_log = OutageLog("database")
        self.counters = Counters()
        self.health = IngestHealth(now)
        self._queue = FairQueue(limits, self.counters)
        self._unacknowledged: dict[StreamKey, int] = {}  # committed up to here
        self._acked_at_s = 0.0
        self._batch_max = BATCH_MESSAGES  # halved when the database fails, in case that a message is the cause
        self._presence_to_retry: dict[str, QueuedMessage] = {}  # by device, which does not send it again

    async def run(self) -> None:
        """Receive for ever; cancel to stop."""
        tries = 0
        while True:
            try:
                async with connected(self._broker, self._on_message) as session:
                    await session.subscribe(*map(topics.subscription, _CHANNELS))
                    self._connection_log.up()
                    self.health.connected()
                    tries = 0
                    while True:
                        await self._write(session, self._next_batch(await session.first(self._queue)))
            except SessionError as error:
                self._connection_log.down(error)
                self.health.disconnected(error)
            tries += 1
            ceiling_s = min(BACKOFF_MAX_S, self._backoff_min_s * 2.0 ** min(tries, 10))
            await asyncio.sleep(random.uniform(0, ceiling_s))  # full jitter: workers do not reconnect at once

    def _on_message(self, topic: str, payload: bytes) -> None:
        self._queue.put_nowait(QueuedMessage.of(topic, payload))
        if not self._queue.empty():
            self.health.received()

    def _next_batch(self, first: QueuedMessage) -> list[ParsedMessage]:
        """Parse the first message and those that wait behind it, as many as fit into one transaction."""
        now, ends_s = self._now(), time.monotonic() + BATCH_S
        batch = [self._parse(first, now)]
        records = _records(batch[0])
        while len(batch) < self._batch_max and records < BATCH_RECORDS and time.monotonic() < ends_s:
            if self._queue.empty():
                break
            batch.append(self._parse(self._queue.get_nowait(), now))
            records += _records(batch[-1])
        return batch

    def _parse(self, message: QueuedMessage, now: datetime) -> ParsedMessage:
        """Parse a message; the time that it takes counts towards its device's rate."""
        began_s = time.monotonic()
        parsed = parse(ReceivedMessage(message.topic, message.payload, now))
        self._queue.charge(message.device, time.monotonic() - began_s)
        if isinstance(parsed.content, Presence):
            self._presence_to_retry.pop(message.device, None)  # this one is newer
        return parsed

    async def _write(self, session: MqttSession, batch: list[ParsedMessage]) -> None:
        """Commit a batch, then acknowledge it; without a commit the devices send it again."""
        try:
            result = await self._writer.write(batch)
        except Exception as error:
            self._on_failure(batch, error)
            return
        finally:
            for line in self.counters.report(time.monotonic()):
                log.warning("dropped messages: %s", line)
        self._database_log.up()
        self.health.committed(is_empty=self._queue.empty())
        self._batch_max = min(BATCH_MESSAGES, self._batch_max * 2)
        self.counters.committed += len(batch)
        self.counters.dead_lettered += result.dead_lettered
        if result.changed:
            self._change_signal.notify()
        self._unacknowledged.update(result.stored_up_to)
        await self._acknowledge(session)

    def _on_failure(self, batch: list[ParsedMessage], error: Exception) -> None:
        """Count a batch as dropped; retry its presence messages if the database failed."""
        queued = [QueuedMessage.of(message.received.topic, message.received.payload) for message in batch]
        self.health.failed(error)
        if is_trouble(error):
            self._database_log.down(error)
            self._batch_max = max(1, self._batch_max // 2)
            presence = (
                one for one, message in zip(queued, batch, strict=True) if isinstance(message.content, Presence)
            )
            self._retry_later(presence)
        else:
            log.error("%d messages: neither committed nor dead-lettered: this is a bug", len(batch), exc_info=error)
        for message in queued:
            self.counters.drop(message.device, DropReason.DATABASE)

    def _retry_later(self, presence: Iterable[QueuedMessage]) -> None:
        """Queue presence messages again in a while; everything else is sent again by its device."""
        self._presence_to_retry |= {message.device: message for message in presence}
        if self._presence_to_retry:
            asyncio.get_running_loop().call_later(RETRY_PRESENCE_S, self._retry_presence)

    def _retry_presence(self) -> None:
        messages, self._presence_to_retry = self._presence_to_retry, {}
        for message in messages.values():
            self._queue.requeue_presence(message)

    async def _acknowledge(self, session: MqttSession) -> None:
        """Publish acknowledgements: of findings after each commit, of telemetry every ACK_TELEMETRY_S under load.

        One that does not arrive is published again when the device sends the same records again.
        """
        due, now_s = self._unacknowledged, time.monotonic()
        if self._queue.empty() or now_s >= self._acked_at_s + ACK_TELEMETRY_S:
            self._unacknowledged, self._acked_at_s = {}, now_s
        else:
            due = {key: up_to for key, up_to in due.items() if key.lane is Lane.FINDINGS}
            for key in due:
                del self._unacknowledged[key]
        acks = acknowledgements(due)
        await session.publish((topics.topic(device, Channel.ACK), ack) for device, ack in acks)


def _records(message: ParsedMessage) -> int:
    return len(message.content.records) if isinstance(message.content, Delivery) else 1


def acknowledgements(stored_up_to: Mapping[StreamKey, int]) -> list[tuple[str, bytes]]:
    """Return one acknowledgement for each device, and one more for each further stream of the same lane."""
    lanes: dict[tuple[str, int], dict[Lane, tuple[str, int]]] = {}
    streams: dict[tuple[str, Lane], int] = {}
    for (device, lane, stream), up_to in stored_up_to.items():
        place = streams.get((device, lane), 0)
        streams[device, lane] = place + 1
        lanes.setdefault((device, place), {})[lane] = stream, up_to
    return [(device, join_ack(by_lane)) for (device, _), by_lane in lanes.items()]
