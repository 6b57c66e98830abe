"""Expected publisher: tells devices what staff expect of them, with one retained message for each device.

What flows in: the messages that are due, out of the database. What flows out: retained messages at
`forewarn/v1/{device}/expected`. A message is due until the broker has confirmed it, so that a crash publishes it again.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime

from cloud.change_signal import ChangeSignal
from cloud.ingest.mqtt_session import BrokerAddress, MqttSession, SessionError, connected
from cloud.ingest.outage_log import OutageLog
from cloud.outcomes.expectations import due_messages, mark_all_due, mark_published
from cloud.store.database import Database, is_trouble
from edge_agent.protocol.records import encode
from edge_agent.protocol.topics import Channel, topic

LOOK_EVERY_S = 5.0  # without a change signal
BACKOFF_MAX_S = 30.0


class ExpectedPublisher:
    """A connection of its own: the ingest must never wait for it."""

    def __init__(
        self, broker: BrokerAddress, database: Database, change_signal: ChangeSignal, *, now: Callable[[], datetime]
    ) -> None:
        self._broker, self._database = broker, database
        self._change_signal, self._now = change_signal, now
        self._outage_log = OutageLog("publishing what is expected")

    async def run(self) -> None:
        """Publish for ever; cancel to stop."""
        tries = 0
        while True:
            try:
                async with connected(self._broker, lambda _topic, _payload: None) as session:
                    await self._start()
                    tries = 0
                    await self._follow(session)
            except Exception as error:
                if not isinstance(error, SessionError) and not is_trouble(error):
                    raise
                self._outage_log.down(error)
            tries += 1
            await asyncio.sleep(random.uniform(0, min(BACKOFF_MAX_S, 2.0 ** min(tries, 10))))

    async def _start(self) -> None:
        """Make every message due again: a broker that was restarted may have forgotten what it retained."""
        async with self._database.begin() as session:
            await mark_all_due(session)

    async def _follow(self, mqtt: MqttSession) -> None:
        while not mqtt.is_lost:
            waiting = asyncio.create_task(self._change_signal.wait(LOOK_EVERY_S))
            try:
                await asyncio.sleep(0)  # waits before the database is read, so that no change is missed
                while await self._publish_due(mqtt):
                    pass
                self._outage_log.up()
                await waiting
            finally:
                waiting.cancel()

    async def _publish_due(self, mqtt: MqttSession) -> bool:
        """Publish what is due; return whether there was anything."""
        async with self._database.read() as session:
            due = await due_messages(session, self._now())
        for message in due:
            # Never an empty payload: a device that is away would keep what it had.
            await mqtt.publish_retained(topic(message.device, Channel.EXPECTED), encode(message.content))
        if due:
            async with self._database.begin() as session:
                for message in due:
                    await mark_published(session, message, self._now())
        return bool(due)
