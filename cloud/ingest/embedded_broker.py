"""The embedded broker: amqtt in this process, for a demo, a test bench and the first day.

What flows in: a host and a port. What flows out: an MQTT 3.1.1 broker that listens there while the block runs.

What it can't do: it forgets what it holds for others when it stops, and does not queue for a subscriber that is away.
That loses nothing, since devices send again what the cloud has not acknowledged. It asks nobody for a password, has no
TLS, and tells every client that connects all retained messages to which anybody has subscribed (amqtt 0.12.1). So it
listens on loopback unless the configuration says otherwise, and a real fleet needs a real broker.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from amqtt.broker import (  # type: ignore[import-untyped]  # amqtt publishes no types
    Broker,
    BrokerConfig,
    BrokerError,
    ListenerConfig,
)

ANONYMOUS = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}  # and no $SYS topics


@asynccontextmanager
async def embedded_broker(host: str, port: int) -> AsyncIterator[None]:
    """Serve MQTT on `host`:`port`. Raises OSError that says what to change when it can't listen there."""
    for noisy in ("amqtt", "transitions"):  # an error to them is every client that leaves without a word
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    listener = ListenerConfig(bind=f"{host}:{port}")
    broker = Broker(BrokerConfig(listeners={"default": listener}, plugins=ANONYMOUS))
    try:
        await broker.start()
    except BrokerError as error:
        where = f"the embedded broker can't listen on {host}:{port} ({error.__cause__})"
        raise OSError(f"{where}; choose another port with --mqtt HOST:PORT") from error
    try:
        yield
    finally:
        await broker.shutdown()
