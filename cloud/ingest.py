"""Ingest: MQTT messages of all devices go into the intake, one after the other, and acknowledgements go back.

What flows in: what devices publish. What flows out: acknowledgements on `forewarn/v1/{device}/ack`, and the bell.

The session with the broker is not persistent, and MQTT's own acknowledgement is given on receipt: neither carries any
weight, because a device sends again what has not been acknowledged here, after the commit. For the same reason a
message may be dropped when more than `QUEUE` wait for the database.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import aiomqtt
from sqlalchemy.exc import SQLAlchemyError

from cloud.intake import Intake, Outcome
from cloud.live import Bell
from edge_agent.protocol import topics
from edge_agent.protocol.records import encode
from edge_agent.protocol.topics import Channel

QUEUE = 10_000  # messages; the retained presence of a whole fleet comes in one gush
BACKOFF_MAX_S = 30.0

log = logging.getLogger(__name__)
_QUIET = logging.getLogger(f"{__name__}.paho")
_QUIET.setLevel(logging.CRITICAL)  # what it would say of each lost connection is said once, by Outage


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """How to reach the broker; with `tls`, its certificate and name are always verified."""

    host: str
    port: int
    tls: bool = False
    ca_file: str | None = None  # None: the system's certificate authorities
    username: str | None = None
    password: str | None = None


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
        bell: Bell,
        *,
        now: Callable[[], datetime],
        backoff_min_s: float = 1.0,
    ) -> None:
        self._broker = broker
        self._intake = intake
        self._bell = bell
        self._now = now
        self._backoff_min_s = backoff_min_s
        self._link = Outage(f"broker {broker.host}:{broker.port}")
        self._store = Outage("database")

    async def run(self) -> None:
        """Receive for ever; cancel to stop."""
        tries = 0
        while True:
            try:
                async with self._client() as client:
                    await self._subscribe(client)
                    self._link.up()
                    tries = 0
                    async for message in client.messages:
                        await self._take(client, str(message.topic), bytes(message.payload))
            except aiomqtt.MqttError as error:
                self._link.down(error)
            tries += 1
            ceiling_s = min(BACKOFF_MAX_S, self._backoff_min_s * 2.0 ** min(tries, 10))
            await asyncio.sleep(random.uniform(0, ceiling_s))  # full jitter: many clouds do not come back as one

    def _client(self) -> aiomqtt.Client:
        broker = self._broker
        return aiomqtt.Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            tls_context=ssl.create_default_context(cafile=broker.ca_file) if broker.tls else None,
            max_queued_incoming_messages=QUEUE,
            logger=_QUIET,
        )

    async def _subscribe(self, client: aiomqtt.Client) -> None:
        for channel in (Channel.PRESENCE, Channel.FINDINGS, Channel.TELEMETRY):
            await client.subscribe(topics.subscription(channel), qos=1)

    async def _take(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        """Commit one message, then acknowledge it; without a commit the device sends it again."""
        try:
            outcome = await self._committed(topic, payload)
        except SQLAlchemyError as error:
            self._store.down(error)
            return
        self._store.up()
        if outcome.changed:
            self._bell.ring()
        if outcome.ack:
            device = topics.parse(topic).device
            await client.publish(topics.topic(device, Channel.ACK), encode(outcome.ack), qos=1)

    async def _committed(self, topic: str, payload: bytes) -> Outcome:
        now = self._now()
        try:
            return await self._intake.take(topic, payload, now)
        except SQLAlchemyError:
            raise
        except Exception as error:
            log.exception("a message on %s could not be taken: this is our fault", topic)
            return await self._intake.park(topic, payload, f"could not be taken: {error}", now)
