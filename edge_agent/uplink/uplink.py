"""The uplink: sends the outbox's lanes over the connection and passes acknowledgements back.

What flows in: records of the outbox. What flows out: MQTT messages, and acknowledgements back to the outbox. A record
leaves the outbox on the cloud's acknowledgement; the broker's only shows which message blocks a lane.
Everything happens in the agent's thread, in `pump`.
"""

import logging
from collections.abc import Callable, Iterator
from queue import Empty

from edge_agent.outbox import Outbox
from edge_agent.protocol import records, telemetry
from edge_agent.protocol.topics import Channel, Lane, parse, topic
from edge_agent.uplink.backoff import BACKOFF_MAX_S
from edge_agent.uplink.lane_in_flight import ACK_TIMEOUT_S, LaneInFlight
from edge_agent.uplink.messages_in_flight import NOT_ACCEPTED, TOO_LARGE, MessageInFlight, MessagesInFlight
from edge_agent.uplink.mqtt_connection import (
    Acknowledged,
    Connected,
    Connection,
    Disconnected,
    Link,
    MessageReceived,
    MqttEvent,
    PresenceMessages,
)
from edge_agent.uplink.rate_limit import ENVELOPE_BYTES, PacketLimit, RateLimiter

log = logging.getLogger(__name__)

MESSAGE_RECORDS = 32
BACKLOG_BYTES_PER_S = 64_000.0  # of the backlog, so that a reconnecting fleet does not flood the cloud
DATED_WITHIN_S = 60.0  # how long a backlog without dates waits for a time server after the link is up


class Uplink:
    """The link of one device to the cloud. `start`, then `pump` at every sample, then `stop`."""

    def __init__(
        self,
        *,
        device: str,
        link: Link,
        outbox: Outbox,
        presence: Callable[[records.PresenceState], records.Presence],
        monotonic: Callable[[], float],
        undated: Callable[[], bool] = lambda: False,
    ) -> None:
        """`presence` makes the message for a state; `monotonic` is real time in seconds, for timeouts and backoff.

        `undated` returns whether pending records have no date yet: sending them waits for it, at most a minute.
        """
        self._device, self._outbox = device, outbox
        self._presence, self._monotonic, self._undated = presence, monotonic, undated
        self._lanes = {lane: LaneInFlight() for lane in Lane}
        self._rate_limiter, self._packet_limit = RateLimiter(BACKLOG_BYTES_PER_S), PacketLimit()
        self._messages = MessagesInFlight(outbox, self._lanes, self._packet_limit)
        self._connected_at_s, self._links = 0.0, 0
        self._unusable_logged = False
        self.bad_acks = self.malformed_expected = 0
        self.on_expected: Callable[[records.ExpectedTrends], None] = lambda _: None
        """Receives what staff expect of this device, at each connect and whenever it changes."""
        self.late_bytes = 0
        """Bytes of backlogs and of records that were sent again: the cost of an outage, not of monitoring."""
        presence_messages = PresenceMessages(
            topic=topic(device, Channel.PRESENCE),
            will=lambda: self._presence_bytes(records.PresenceState.OFFLINE),
            online=lambda: self._presence_bytes(records.PresenceState.ONLINE),
            listen=(topic(device, Channel.ACK), topic(device, Channel.EXPECTED)),
        )
        self._connection = Connection(device, link, presence_messages, monotonic)

    def start(self) -> None:
        """Begin to connect, in the background; an unreachable broker is retried forever."""
        self._connection.start()

    def stop(self) -> None:
        """Publish the presence `going_down`, and close the connection."""
        self._connection.stop(self._presence_bytes(records.PresenceState.GOING_DOWN))

    @property
    def connected(self) -> bool:
        """Whether a session with the broker is open."""
        return self._connection.connected

    @property
    def sent_bytes(self) -> int:
        """Bytes sent in all, TLS included."""
        return self._connection.sent_bytes()

    def left_up_to(self, lane: Lane) -> int:
        """Return the highest number of a lane that may have left the device in this run."""
        return self._lanes[lane].left_up_to

    @property
    def has_unacknowledged(self) -> bool:
        """Whether anything may have left the device that the cloud has not acknowledged."""
        return any(
            max(flow.left_up_to, flow.losses_left_up_to) >= self._outbox.base_seq(lane)
            for lane, flow in self._lanes.items()
        )

    def start_new_store(self, outbox: Outbox) -> None:
        """Continue with another outbox, or with new streams: nothing of it has been sent in this run."""
        self._outbox = outbox
        self._lanes.update({lane: LaneInFlight() for lane in Lane})
        self._messages.start_new_store(outbox)
        self._resend_all()

    def pump(self) -> None:
        """Handle the events so far, then send what the window allows, findings first."""
        for event in self._events():
            self._handle(event)
        if not self._connection.connected or not self._packet_limit.usable:
            return
        now_s = self._monotonic()
        self._send_losses()
        for lane in self._in_order():
            self._resend_if_late(lane, now_s)
            while self._send_next(lane, now_s):
                self._lanes[lane].moved_at_s = now_s

    def _events(self) -> Iterator[MqttEvent]:
        while True:
            try:
                yield self._connection.events.get_nowait()
            except Empty:
                return

    def _handle(self, event: MqttEvent) -> None:
        match event:
            case Connected(packet_bytes):
                self._on_connected(packet_bytes)
            case Disconnected(too_large, at_s):
                self._messages.on_disconnected(too_large, at_s)
            case Acknowledged(mid, refused, at_s):
                self._messages.on_broker_ack(mid, refused, at_s)
            case MessageReceived(name, payload):
                self._on_message(name, payload)

    def _on_connected(self, packet_bytes: int | None) -> None:
        """Start a connection: all unacknowledged records are sent again."""
        self._connected_at_s = self._monotonic()
        self._messages.on_connected(self._connected_at_s)
        self._links += 1
        self._packet_limit.broker_bytes = packet_bytes
        if not self._packet_limit.usable and not self._unusable_logged:
            log.error("the broker accepts no packet above %d bytes: nothing can be sent", packet_bytes)
            self._unusable_logged = True
        self._resend_all()

    def _resend_all(self) -> None:
        for lane, flow in self._lanes.items():
            flow.resend(self._outbox.base_seq(lane) - 1, self._monotonic())
            flow.timeout_s, flow.backlog_up_to = ACK_TIMEOUT_S, self._outbox.last_seq(lane)

    def _on_message(self, name: str, payload: bytes) -> None:
        try:
            channel = parse(name).channel
            if channel is Channel.ACK:
                self._acknowledge(records.decode_ack(payload))
            elif channel is Channel.EXPECTED:
                self.on_expected(records.decode_expected(payload))
        except ValueError as error:
            self._on_malformed(name, error)

    def _on_malformed(self, name: str, error: ValueError) -> None:
        """Count a message that can't be read, by its topic; the first of each is a warning."""
        if name == topic(self._device, Channel.EXPECTED):
            self.malformed_expected += 1
            count = self.malformed_expected
        else:
            self.bad_acks += 1
            count = self.bad_acks
        log.log(logging.WARNING if count == 1 else logging.DEBUG, "%s: %s", name, error)

    def _acknowledge(self, ack: records.Ack) -> None:
        """Release the records that the cloud acknowledged, and note that it answers."""
        for lane, progress in ack.lanes.items():
            if self._outbox.acknowledge(lane, progress.stream, progress.up_to):
                self._lanes[lane].acknowledged(self._outbox.base_seq(lane) - 1, self._monotonic())
                self._messages.on_cloud_ack(lane)
        for flow in self._lanes.values():
            flow.cloud_answered = True

    def _in_order(self) -> list[Lane]:
        """Return findings first; a lane whose oldest record may be poison comes last."""
        return sorted(Lane, key=lambda lane: (lane is self._messages.cautious_lane, lane is not Lane.FINDINGS))

    def _resend_if_late(self, lane: Lane, now_s: float) -> None:
        flow, acked = self._lanes[lane], self._outbox.base_seq(lane) - 1
        if flow.sent_up_to <= acked or now_s - flow.moved_at_s < flow.timeout_s:
            return
        log.debug("%s: no acknowledgement of %d to %d in time; sending again", lane, acked + 1, flow.sent_up_to)
        oldest = self._outbox.after(lane, acked, 1)
        behind_no_gap = oldest and oldest[0][0] == acked + 1  # else the cloud waits for the missing ones before it
        if flow.cloud_answered and behind_no_gap and flow.poison.strike(acked + 1):
            self._messages.quarantine(lane, acked + 1, NOT_ACCEPTED)
        flow.timeouts += 1
        flow.timeout_s = min(BACKOFF_MAX_S, flow.timeout_s * 2)
        flow.resend(acked, now_s)

    def _send_next(self, lane: Lane, now_s: float) -> bool:
        flow = self._lanes[lane]
        if self._messages.must_wait:
            return False
        count = min(flow.free_records(), MESSAGE_RECORDS)
        batch = self._outbox.after(lane, flow.sent_up_to, count) if count > 0 else []
        batch = _cut_to_message(batch, self._packet_limit.message_bytes)
        if not batch:
            return False
        batch = flow.isolate(batch, self._outbox.base_seq(lane) - 1)
        if self._messages.must_hold_back(lane, batch[0][0], now_s):
            return False
        is_backlog = batch[0][0] <= flow.backlog_up_to
        if is_backlog and not (self._may_be_dated(now_s) and self._rate_limiter.allows(now_s)):
            return False
        return self._send(lane, batch, is_backlog=is_backlog)

    def _send_losses(self) -> None:
        """Send declared losses ahead of all: only they can close a gap that is wider than the window."""
        flow = self._lanes[Lane.FINDINGS]
        size = self._packet_limit.message_bytes
        while batch := _cut_to_message(self._outbox.losses_after(flow.losses_up_to, MESSAGE_RECORDS), size):
            payload = self._payload(Lane.FINDINGS, batch)
            if self._connection.publish(topic(self._device, Lane.FINDINGS), payload) is None:
                return
            flow.losses_up_to = batch[-1][0]
            flow.losses_left_up_to = max(flow.losses_left_up_to, flow.losses_up_to)

    def _payload(self, lane: Lane, batch: list[tuple[int, bytes]]) -> bytes:
        """Return consecutive records as one message."""
        encode = records.join_envelope if lane is Lane.FINDINGS else telemetry.encode
        bodies = [body for _, body in batch]
        return encode(self._outbox.stream(lane), self._outbox.base_seq(lane), batch[0][0], bodies)

    def _may_be_dated(self, now_s: float) -> bool:
        """Whether a backlog may be sent: a time server is usually found soon after the network."""
        first = self._links == 1  # of this run: a device that connected before without a date gets none later
        return not first or now_s - self._connected_at_s >= DATED_WITHIN_S or not self._undated()

    def _send(self, lane: Lane, batch: list[tuple[int, bytes]], *, is_backlog: bool) -> bool:
        """Publish consecutive records as one message; return whether it is in flight or quarantined."""
        first, payload = batch[0][0], self._payload(lane, batch)
        if self._packet_limit.too_large(len(payload) + ENVELOPE_BYTES) and len(batch) == 1:
            return self._messages.quarantine(lane, first, TOO_LARGE)
        mid = self._connection.publish(topic(self._device, lane), payload)
        if mid is None:
            return False
        if is_backlog:
            self._rate_limiter.spend(len(payload))
        self._messages.add(mid, MessageInFlight(lane, first, len(batch), len(payload), self._monotonic()))
        flow = self._lanes[lane]
        if is_backlog or first <= flow.left_up_to:
            self.late_bytes += len(payload)
        flow.cloud_answered = flow.cloud_answered and first > self._outbox.base_seq(lane)
        flow.sent_up_to = batch[-1][0]
        flow.left_up_to = max(flow.left_up_to, flow.sent_up_to)
        flow.sent.append((batch[-1][0], len(batch)))
        return True

    def _presence_bytes(self, state: records.PresenceState) -> bytes:
        return records.encode(self._presence(state))


def _cut_to_message(batch: list[tuple[int, bytes]], message_bytes: int) -> list[tuple[int, bytes]]:
    """Cut a batch to consecutive numbers and to a message's size; one record always fits."""
    size = 0
    for index, (seq, body) in enumerate(batch):
        size += len(body)
        if index and (seq != batch[index - 1][0] + 1 or size > message_bytes):
            return batch[:index]
    return batch
