"""The embedded broker really does what devices rely on, seen with the client that devices use, over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from queue import Queue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud.ingest.embedded_broker import embedded_broker

HOST = "127.0.0.1"
TOPIC = "forewarn/v1/pump-07/presence"


@pytest.fixture
async def broker(port: int) -> AsyncIterator[int]:
    async with embedded_broker(HOST, port):
        yield port


class Device:
    """A paho client with its own thread, as on a device."""

    def __init__(self, name: str, port: int, will: str = "") -> None:
        self.received: Queue[tuple[str, bytes, bool]] = Queue()
        self._subscribed: Queue[None] = Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
        if will:
            self.client.will_set(TOPIC, will, qos=1, retain=True)
        self.client.on_message = self._on_message
        self.client.on_subscribe = lambda *_: self._subscribed.put(None)
        self.client.connect(HOST, port)
        self.client.loop_start()

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        self.received.put((message.topic, bytes(message.payload), message.retain))

    def publish(self, payload: str, *, retain: bool) -> None:
        self.client.publish(TOPIC, payload, qos=1, retain=retain).wait_for_publish(5)

    def hear(self, pattern: str) -> None:
        self.client.subscribe(pattern, qos=1)
        self._subscribed.get(timeout=5)

    def next(self) -> tuple[str, bytes, bool]:
        return self.received.get(timeout=5)

    def die(self) -> None:
        """Go without a word, as in a power cut."""
        connection = self.client.socket()
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def a_client(name: str, port: int, will: str = "") -> Iterator[Device]:
    device = Device(name, port, will)
    try:
        yield device
    finally:
        device.client.disconnect()
        device.client.loop_stop()


async def test_a_message_reaches_who_subscribed_with_a_wildcard(broker: int) -> None:
    def talk() -> tuple[str, bytes, bool]:
        with a_client("cloud", broker) as cloud, a_client("pump-07", broker) as device:
            cloud.hear("forewarn/v1/+/presence")
            device.publish("online", retain=False)
            return cloud.next()

    assert await asyncio.to_thread(talk) == (TOPIC, b"online", False)


async def test_a_retained_message_reaches_who_subscribes_later_and_the_newest_wins(broker: int) -> None:
    def talk() -> tuple[str, bytes, bool]:
        with a_client("pump-07", broker) as device:
            device.publish("online", retain=True)
            device.publish("going_down", retain=True)
        with a_client("cloud", broker) as cloud:
            cloud.hear("forewarn/v1/+/presence")
            return cloud.next()

    assert await asyncio.to_thread(talk) == (TOPIC, b"going_down", True)


async def test_the_last_will_is_published_when_a_device_dies_and_not_when_it_disconnects(broker: int) -> None:
    def talk() -> list[bytes]:
        with a_client("cloud", broker) as cloud:
            cloud.hear("forewarn/v1/+/presence")
            with a_client("pump-07", broker, will="offline") as device:
                device.publish("online", retain=True)
            with a_client("pump-07", broker, will="died") as device:
                device.publish("online again", retain=True)
                device.client.loop_stop()
                device.die()
                return [cloud.next()[1] for _ in range(3)]

    assert await asyncio.to_thread(talk) == [b"online", b"online again", b"died"]


async def test_an_occupied_port_is_reported_in_one_line(broker: int) -> None:
    with pytest.raises(OSError, match=rf"the embedded broker can't listen on 127.0.0.1:{broker}") as received:
        async with embedded_broker(HOST, broker):
            raise AssertionError("never runs")
    assert "\n" not in str(received.value)
