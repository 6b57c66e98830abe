"""A device as seen on the wire, for tests that need a broker and no agent."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import aiomqtt

from edge_agent.protocol.records import LaneAck, decode_ack, decode_envelope
from edge_agent.protocol.topics import Channel, Lane, topic
from tests.builders import DEVICE

HOST = "127.0.0.1"


class Pump:
    """What a device does on the wire: listens for acknowledgements, and sends until it has one."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client

    async def publish(self, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        await self._client.publish(topic(DEVICE, channel), payload, qos=1, retain=retain)

    async def acked(self, payload: bytes) -> LaneAck:
        """Send again and again until all of it is acknowledged, as the uplink does."""
        ack, _ = await self.publish_until_acked(payload)
        return ack

    async def publish_until_acked(self, payload: bytes, *, patience_s: float = 0.2) -> tuple[LaneAck, int]:
        """The same; return how often it was sent, too."""
        envelope = decode_envelope(payload)
        for times in itertools.count(1):
            await self.publish(Channel.FINDINGS, payload)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    async for message in self._client.messages:
                        ack = decode_ack(bytes(message.payload)).lanes[Lane.FINDINGS]
                        if (
                            ack.stream == envelope.stream
                            and ack.up_to >= envelope.first_seq + len(envelope.records) - 1
                        ):
                            return ack, times
        raise AssertionError("it is tried for ever")


@contextlib.asynccontextmanager
async def a_pump(port: int, *, timeout_s: float | None = 10) -> AsyncIterator[Pump]:
    async with asyncio.timeout(timeout_s), aiomqtt.Client(HOST, port, identifier=DEVICE) as client:
        await client.subscribe(topic(DEVICE, Channel.ACK), qos=1)
        yield Pump(client)
