"""Ingest: MQTT messages of all devices go into the intake, in batches, and acknowledgements go back.

What flows in: what devices publish. What flows out: acknowledgements on `forewarn/v1/{device}/ack`, and a change
signal.

A batch is what came in while the one before it was committed, so a lone message never waits for others. The session
with the broker is not persistent, and MQTT's own acknowledgement is given on receipt: neither carries any weight,
because a device sends again what has not been acknowledged here, after the commit. For the same reason messages may be
dropped when too many wait for the database, and acknowledgements are published at QoS 0.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from cloud.change_signal import ChangeSignal
from cloud.ingest.counters import Dropped, Tally
from cloud.ingest.fair_queue import Arrivals, Limits, Message, device_of
from cloud.ingest.mqtt_session import BrokerAddress, MqttSession, SessionError, connected
from cloud.ingest.parsing import Arrived, Delivery
from cloud.ingest.transaction import Intake, Read, understood
from cloud.store.database import is_trouble
from cloud.store.streams import StreamKey
from edge_agent.protocol import topics
from edge_agent.protocol.records import Presence, join_ack
from edge_agent.protocol.topics import Channel, Lane

BATCH_MESSAGES = 512  # in one transaction
BATCH_S = 0.1  # of reading; whoever comes next, a healthy device behind a hostile one, waits no longer for it
BATCH_RECORDS = 4096  # beside those of the last message
AGAIN_S = 1.0  # after which presence is tried again that met trouble of the database
ACK_EVERY_S = 0.2  # while more waits to be taken: by then a busy device has had several messages committed
BACKOFF_MAX_S = 30.0

_CHANNELS = (Channel.PRESENCE, Channel.FINDINGS, Channel.TELEMETRY)

log = logging.getLogger(__name__)


class Outage:
    """Says once that something is away and once that it is back, however often it is tried in between."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._down = False

    def down(self, why: object) -> None:
        """It failed."""
        log.log(logging.DEBUG if self._down else logging.WARNING, "%s: %s; trying again", self._what, why)
        self._down = True

    def up(self) -> None:
        """It worked."""
        if self._down:
            log.warning("%s is back", self._what)
        self._down = False


class Ingest:
    """One connection to the broker, made again whenever it is lost."""

    def __init__(
        self,
        broker: BrokerAddress,
        intake: Intake,
        change_signal: ChangeSignal,
        *,
        now: Callable[[], datetime],
        limits: Limits,
        backoff_min_s: float = 1.0,
    ) -> None:
        self._broker = broker
        self._intake = intake
        self._change_signal = change_signal
        self._now = now
        self._backoff_min_s = backoff_min_s
        self._link = Outage(f"broker {broker.host}:{broker.port}")
        self._store = Outage("database")
        self.tally = Tally()
        self._arrivals = Arrivals(limits, self.tally)
        self._owed: dict[StreamKey, int] = {}  # committed, and not acknowledged yet
        self._acked_at_s = 0.0
        self._most = BATCH_MESSAGES  # halved by trouble, in case that it lies in a message
        self._untold: dict[str, Message] = {}  # presence that met trouble: no device sends it again

    async def run(self) -> None:
        """Receive for ever; cancel to stop."""
        tries = 0
        while True:
            try:
                async with connected(self._broker, self._hear) as session:
                    await session.subscribe(*map(topics.subscription, _CHANNELS))
                    self._link.up()
                    tries = 0
                    while True:
                        await self._take(session, self._batch(await session.first(self._arrivals)))
            except SessionError as error:
                self._link.down(error)
            tries += 1
            ceiling_s = min(BACKOFF_MAX_S, self._backoff_min_s * 2.0 ** min(tries, 10))
            await asyncio.sleep(random.uniform(0, ceiling_s))  # full jitter: many clouds do not come back as one

    def _hear(self, topic: str, payload: bytes) -> None:
        self._arrivals.put_nowait(Message(topic, payload))

    def _batch(self, first: Message) -> list[Read]:
        """Read the first message and what waits behind it, as much as fits into one transaction."""
        now, ends_s = self._now(), time.monotonic() + BATCH_S
        batch = [self._read(first, now)]
        records = _records(batch[0])
        while len(batch) < self._most and records < BATCH_RECORDS and time.monotonic() < ends_s:
            if self._arrivals.empty():
                break
            batch.append(self._read(self._arrivals.get_nowait(), now))
            records += _records(batch[-1])
        return batch

    def _read(self, message: Message, now: datetime) -> Read:
        """Read a message at its device's cost."""
        began_s = time.monotonic()
        found = understood(Arrived(message.topic, message.payload, now))
        device = device_of(found.arrived.topic)
        self._arrivals.charge(device, time.monotonic() - began_s)
        if isinstance(found.said, Presence):
            self._untold.pop(device, None)  # it has been said anew
        return found

    async def _take(self, session: MqttSession, batch: list[Read]) -> None:
        """Commit a batch, then acknowledge it; without a commit the devices send it again."""
        try:
            outcome = await self._intake.take(batch)
        except Exception as error:
            if is_trouble(error):
                self._store.down(error)
                self._most = max(1, self._most // 2)
                self._keep([message.arrived for message in batch if isinstance(message.said, Presence)])
            else:
                log.exception("%d messages could be neither committed nor dead-lettered: this is our fault", len(batch))
            for message in batch:
                self.tally.drop(device_of(message.arrived.topic), Dropped.DATABASE)
            return
        finally:
            for line in self.tally.report(time.monotonic()):
                log.warning("dropped messages: %s", line)
        self._store.up()
        self._most = min(BATCH_MESSAGES, self._most * 2)
        self.tally.taken += len(batch)
        self.tally.dead_lettered += outcome.dead_lettered
        if outcome.changed:
            self._change_signal.notify()
        self._owed.update(outcome.stored)
        if self._arrivals.empty() or time.monotonic() >= self._acked_at_s + ACK_EVERY_S:
            await self._acknowledge(session)

    def _keep(self, presences: Sequence[Arrived]) -> None:
        """Try presence again in a while; whatever else met trouble is sent again by its device."""
        for arrived in presences:
            self._untold[device_of(arrived.topic)] = Message(arrived.topic, arrived.payload)
        if presences:
            asyncio.get_running_loop().call_later(AGAIN_S, self._try_again)

    def _try_again(self) -> None:
        untold, self._untold = self._untold, {}
        for message in untold.values():
            self._arrivals.again(message)

    async def _acknowledge(self, session: MqttSession) -> None:
        """Tell the devices what is committed; what can't be told now is told when they send it again."""
        acks, self._owed, self._acked_at_s = acknowledgements(self._owed), {}, time.monotonic()
        await session.publish((topics.topic(device, Channel.ACK), ack) for device, ack in acks)


def _records(message: Read) -> int:
    return len(message.said.items) if isinstance(message.said, Delivery) else 1


def acknowledgements(stored: Mapping[StreamKey, int]) -> list[tuple[str, bytes]]:
    """Return one acknowledgement for each device; a second one only for a second stream of the same lane."""
    lanes: dict[tuple[str, int], dict[Lane, tuple[str, int]]] = {}
    streams: dict[tuple[str, Lane], int] = {}
    for (device, lane, stream), up_to in stored.items():
        place = streams.get((device, lane), 0)
        streams[device, lane] = place + 1
        lanes.setdefault((device, place), {})[lane] = stream, up_to
    return [(device, join_ack(said)) for (device, _), said in lanes.items()]
