"""The uplink: MQTT. Drains the outbox's lanes, takes acknowledgements, says whether the device is there, reconnects.

What flows in: records of the outbox. What flows out: MQTT messages at QoS 1, and acknowledgements back to the outbox.
The socket lives in paho's own thread; everything here but the callbacks runs in the agent's thread, in `pump`.
"""

import logging
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.outbox import Outbox
from edge_agent.protocol import records, telemetry
from edge_agent.protocol.topics import Channel, Lane, parse, topic

log = logging.getLogger(__name__)

BACKOFF_MIN_S = 5.0
BACKOFF_MAX_S = 600.0
STABLE_AFTER_S = 300.0  # a link counts as good, and the backoff starts anew, after it has held this long
ACK_TIMEOUT_S = 15.0  # the first; it doubles to BACKOFF_MAX_S while nothing is acknowledged
MESSAGE_RECORDS = 32
MESSAGE_BYTES = 200_000  # of findings in one message: below the 256 KiB that common brokers allow
QUEUED = 64  # messages paho may hold; a refused one is sent later
IN_FLIGHT = 128  # records of a lane that may be under way without an acknowledgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where the broker is and how to prove who we are. TLS is used or not; there is no way from one to the other."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    keepalive_s: int


@dataclass(slots=True)
class _Flow:
    """How far a lane has been sent since the last (re)connect, and when it last got on."""

    sent_up_to: int = 0
    moved_at_s: float = 0.0
    timeout_s: float = ACK_TIMEOUT_S

    def moved(self, now_s: float) -> None:
        """Something was acknowledged: be patient from here, and quick again after the next silence."""
        self.moved_at_s, self.timeout_s = now_s, ACK_TIMEOUT_S


class Backoff:
    """Full jitter between nothing and a ceiling that doubles; only a link that held for long resets it.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ceiling_s = BACKOFF_MIN_S

    def next_s(self, link_held_s: float) -> float:
        """Return how long to wait before the next try, given how long the last link held (0 if it never came up)."""
        if link_held_s >= STABLE_AFTER_S:
            self._ceiling_s = BACKOFF_MIN_S
        wait_s = self._rng.uniform(0.5, self._ceiling_s)
        self._ceiling_s = min(BACKOFF_MAX_S, self._ceiling_s * 2)
        return wait_s


class Uplink:
    """One MQTT connection. `start`, then `pump` at every sample and after every finding, then `stop`."""

    def __init__(
        self,
        *,
        device: str,
        link: Link,
        outbox: Outbox,
        presence: Callable[[records.PresenceState], records.Presence],
        monotonic: Callable[[], float],
    ) -> None:
        """`presence` makes the message for a state; `monotonic` is real time in seconds, for timeouts and backoff."""
        self._device, self._link, self._outbox = device, link, outbox
        self._presence, self._monotonic = presence, monotonic
        self._backoff = Backoff(random.Random())
        self._flows = {lane: _Flow() for lane in Lane}
        self._acks: SimpleQueue[records.Ack] = SimpleQueue()
        self._restart = False  # set by the network thread: send again from the last acknowledgement
        self._up_since_s: float | None = None
        self._down_said = False
        self.sent_bytes = 0
        self.bad_acks = 0
        self._client = self._make_client()

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._device,
            protocol=MQTTProtocolVersion.MQTTv311,
            clean_session=True,
        )
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_message = self._on_connect_fail, self._on_message
        client.will_set(
            topic(self._device, Channel.PRESENCE),
            self._presence_bytes(records.PresenceState.OFFLINE),
            1,
            True,
        )
        client.max_queued_messages_set(QUEUED)
        if self._link.tls:
            client.tls_set_context(self._link.tls)
        if self._link.username:
            client.username_pw_set(self._link.username, self._link.password)
        return client

    def start(self) -> None:
        """Begin to connect, in the background; a broker that is away is tried again for ever."""
        self._set_backoff(0.0)
        self._client.connect_async(self._link.host, self._link.port, self._link.keepalive_s)
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye (so that the last will is not published) and close the connection."""
        if self._client.is_connected():
            goodbye = self._presence_bytes(records.PresenceState.GOING_DOWN)
            message = self._client.publish(topic(self._device, Channel.PRESENCE), goodbye, 1, True)
            try:
                message.wait_for_publish(timeout=2.0)
            except (RuntimeError, ValueError):
                log.debug("the connection went away before the goodbye")
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and is still there."""
        return self._client.is_connected()

    def pump(self) -> None:
        """Take acknowledgements, then send what the window has room for."""
        self._take_acks()
        if not self._client.is_connected():
            return
        now_s = self._monotonic()
        if self._restart:
            self._restart = False
            for lane, flow in self._flows.items():
                flow.sent_up_to = self._outbox.base_seq(lane) - 1
                flow.moved(now_s)
        for lane, flow in self._flows.items():
            self._resend_if_late(lane, flow, now_s)
            while self._send_next(lane, flow):
                flow.moved_at_s = now_s

    def _take_acks(self) -> None:
        while True:
            try:
                ack = self._acks.get_nowait()
            except Empty:
                return
            for lane, progress in ack.lanes.items():
                if self._outbox.acknowledge(lane, progress.stream, progress.up_to):
                    self._flows[lane].moved(self._monotonic())

    def _resend_if_late(self, lane: Lane, flow: _Flow, now_s: float) -> None:
        acked = self._outbox.base_seq(lane) - 1
        flow.sent_up_to = max(flow.sent_up_to, acked)
        if flow.sent_up_to > acked and now_s - flow.moved_at_s >= flow.timeout_s:
            log.debug("%s: no acknowledgement of %d to %d in time; sending again", lane, acked + 1, flow.sent_up_to)
            flow.sent_up_to, flow.timeout_s = acked, min(BACKOFF_MAX_S, flow.timeout_s * 2)

    def _send_next(self, lane: Lane, flow: _Flow) -> bool:
        room = IN_FLIGHT - (flow.sent_up_to - (self._outbox.base_seq(lane) - 1))
        batch = _run(self._outbox.after(lane, flow.sent_up_to, min(room, MESSAGE_RECORDS))) if room > 0 else []
        if not batch:
            return False
        first, bodies = batch[0][0], [body for _, body in batch]
        encode = records.join_envelope if lane is Lane.FINDINGS else telemetry.encode
        payload = encode(self._outbox.stream(lane), self._outbox.base_seq(lane), first, bodies)
        name = topic(self._device, lane)
        if self._client.publish(name, payload, qos=1).rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self.sent_bytes += len(payload) + len(name)
        flow.sent_up_to = batch[-1][0]
        return True

    def _presence_bytes(self, state: records.PresenceState) -> bytes:
        return records.encode(self._presence(state))

    def _set_backoff(self, link_held_s: float) -> None:
        wait_s = self._backoff.next_s(link_held_s)
        self._client.reconnect_delay_set(wait_s, wait_s)  # type: ignore[arg-type]  # paho waits any number of seconds

    # From here on: paho's network thread.

    def _on_connect(
        self,
        client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._say_down(f"the broker refuses us: {reason}")
            return
        log.info("connected to %s:%d as %s", self._link.host, self._link.port, self._device)
        self._up_since_s, self._down_said = self._monotonic(), False
        client.drop_out_messages()  # the outbox sends again what counts; paho's own copies would pile up
        client.subscribe(topic(self._device, Channel.ACK), 1)
        online = self._presence_bytes(records.PresenceState.ONLINE)
        client.publish(topic(self._device, Channel.PRESENCE), online, 1, True)
        self._restart = True

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _userdata: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        held_s = 0.0 if self._up_since_s is None else self._monotonic() - self._up_since_s
        self._up_since_s = None
        self._set_backoff(held_s)
        if reason.is_failure:
            self._say_down(str(reason))

    def _on_connect_fail(self, _client: mqtt.Client, _userdata: object) -> None:
        self._set_backoff(0.0)
        self._say_down("it can't be reached")

    def _say_down(self, why: str) -> None:
        level = logging.DEBUG if self._down_said else logging.WARNING  # once on the way down
        self._down_said = True
        log.log(
            level,
            "no broker at %s:%d (%s); keeping everything until it is back",
            self._link.host,
            self._link.port,
            why,
        )

    def _on_message(self, _client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        try:
            if parse(message.topic).channel is Channel.ACK:
                self._acks.put(records.decode_ack(message.payload))
        except ValueError as error:
            self.bad_acks += 1
            log.warning("%s: %s", message.topic, error)


def _run(batch: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Cut a batch to consecutive numbers and to a message's size; one record always fits."""
    size = 0
    for index, (seq, body) in enumerate(batch):
        size += len(body)
        if index and (seq != batch[index - 1][0] + 1 or size > MESSAGE_BYTES):
            return batch[:index]
    return batch
