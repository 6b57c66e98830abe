"""The uplink: drains the outbox's lanes over the connection, takes acknowledgements, finds out what blocks the way.

What flows in: records of the outbox. What flows out: MQTT messages, and acknowledgements back to the outbox. A record
leaves the outbox on the cloud's acknowledgement; the broker's only says who is to blame when something gets stuck.
Everything happens in the agent's thread, in `pump`.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Empty

from edge_agent.outbox.outbox import Outbox
from edge_agent.protocol import records, telemetry
from edge_agent.protocol.topics import Channel, Lane, parse, topic
from edge_agent.uplink.mqtt_connection import Came, Connection, Down, Event, Link, Reached, Up, Words
from edge_agent.uplink.rate_limit import BACKOFF_MAX_S, ENVELOPE_BYTES, Pace, Sizes, Suspect

log = logging.getLogger(__name__)

ACK_TIMEOUT_S = 15.0  # the first; it doubles to BACKOFF_MAX_S while nothing is acknowledged
MESSAGE_RECORDS = 32
ALONE_AFTER = 2  # silences after which the oldest record travels alone
IN_FLIGHT = 128  # records of a lane that may be under way without an acknowledgement
BACKLOG_BYTES_PER_S = 64_000.0  # of what is older than the connection, so that a fleet that comes back is no flood

QUIET_S = 30.0  # for so long a link has to hold before a record that may be what ends links is tried again
ENDS_WITHIN_S = 10.0  # of a message's turn: a link that ends later ends for another reason
DATED_WITHIN_S = 60.0  # for so long a backlog without dates waits for a time server after the link is up

ENDS_LINKS = "the broker ended the connection each time it was sent"
TOO_LARGE = "it is larger than what the broker takes"
NOT_TAKEN = "the cloud took others, but not this one, however often it was sent"


@dataclass(frozen=True, slots=True)
class _Message:
    """What is on its way to the broker."""

    lane: Lane
    first_seq: int
    records: int
    size: int
    at_s: float


@dataclass(slots=True)
class _Flow:
    """How far a lane has been sent in this connection, and how it gets on."""

    sent_up_to: int = 0
    left_up_to: int = 0  # the highest that has ever been handed to a broker
    backlog_up_to: int = 0  # what is older than the connection
    moved_at_s: float = 0.0
    timeout_s: float = ACK_TIMEOUT_S
    lates: int = 0  # silences in a row in which the cloud took nothing new
    heard: bool = False  # whether the cloud has acknowledged anything since the oldest record was last sent
    suspect: Suspect = field(default_factory=Suspect)
    losses_up_to: int = 0  # how far declared losses have been sent ahead of the rest
    losses_left_up_to: int = 0  # the highest of them that has ever been
    sent: deque[tuple[int, int]] = field(default_factory=deque)  # (last number, records) of each message under way

    def again(self, acked: int, now_s: float) -> None:
        """Send again from the last acknowledgement."""
        self.sent_up_to = self.losses_up_to = acked
        self.moved_at_s, self.heard = now_s, False
        self.sent.clear()

    def acknowledged(self, acked: int, now_s: float) -> None:
        """Something got through: be patient from here, and quick again after the next silence."""
        self.moved_at_s, self.timeout_s, self.lates = now_s, ACK_TIMEOUT_S, 0
        self.sent_up_to = max(self.sent_up_to, acked)
        self.suspect.clear(acked)
        while self.sent and self.sent[0][0] <= acked:
            self.sent.popleft()

    def apart(self, batch: list[tuple[int, bytes]], acked: int) -> list[tuple[int, bytes]]:
        """Let a record that may be to blame travel alone: what follows it shows whether the cloud is there."""
        if self.lates >= ALONE_AFTER and self.sent_up_to <= acked:
            return batch[:1]
        if self.suspect.isolated and batch[0][0] <= self.suspect.seq:
            return [one for one in batch if one[0] < self.suspect.seq] or batch[:1]
        return batch

    def room(self) -> int:
        """Return how many records may still be sent before the next acknowledgement."""
        return IN_FLIGHT - sum(count for _, count in self.sent)


class Uplink:
    """One device's way to the cloud. `start`, then `pump` at every sample and after every finding, then `stop`."""

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

        `undated` says whether a backlog waits whose date is not known yet: it is worth a minute's patience.
        """
        self._device, self._outbox = device, outbox
        self._presence, self._monotonic, self._undated = presence, monotonic, undated
        self._flows = {lane: _Flow() for lane in Lane}
        self._pace, self._sizes = Pace(BACKLOG_BYTES_PER_S), Sizes()
        self._unreached: dict[int, _Message] = {}  # handed over, not at the broker yet; oldest first
        self._reached_any = False  # whether the broker has taken anything in this connection
        self._reached_at_s = 0.0  # when it took the last
        self._up_at_s, self._links = 0.0, 0
        self._careful: Lane | None = None  # its oldest record was under way when the link ended: one at a time
        self._refusals_said: set[str] = set()
        self._unusable_said = False
        self.bad_acks = 0
        self.late_bytes = 0
        """Of what was sent: backlogs, and what was sent again. An outage costs these, not how the device is watched."""
        words = Words(
            topic=topic(device, Channel.PRESENCE),
            will=lambda: self._presence_bytes(records.PresenceState.OFFLINE),
            online=lambda: self._presence_bytes(records.PresenceState.ONLINE),
            listen=topic(device, Channel.ACK),
        )
        self._connection = Connection(device, link, words, monotonic)

    def start(self) -> None:
        """Begin to connect, in the background; a broker that is away is tried again for ever."""
        self._connection.start()

    def stop(self) -> None:
        """Say goodbye and close the connection."""
        self._connection.stop(self._presence_bytes(records.PresenceState.GOING_DOWN))

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and is still there."""
        return self._connection.connected

    @property
    def sent_bytes(self) -> int:
        """What has left in all, TLS included."""
        return self._connection.sent_bytes()

    def left_up_to(self, lane: Lane) -> int:
        """Return the highest number of a lane that may have left the device in this run."""
        return self._flows[lane].left_up_to

    @property
    def is_under_way(self) -> bool:
        """Whether anything may have left the device that the cloud has not acknowledged."""
        return any(
            max(flow.left_up_to, flow.losses_left_up_to) >= self._outbox.base_seq(lane)
            for lane, flow in self._flows.items()
        )

    def begin_anew(self, outbox: Outbox) -> None:
        """The outbox has begun new streams, or is another one: in this run nothing of it has been sent."""
        self._outbox = outbox
        self._flows = {lane: _Flow() for lane in Lane}
        self._unreached.clear()
        self._careful = None
        self._start_over()

    def pump(self) -> None:
        """Take what has happened, then send what the window has room for, findings first."""
        for event in self._happened():
            self._take(event)
        if not self._connection.connected or not self._sizes.usable:
            return
        now_s = self._monotonic()
        self._send_losses()
        for lane in self._in_order():
            self._resend_if_late(lane, now_s)
            while self._send_next(lane, now_s):
                self._flows[lane].moved_at_s = now_s

    def _happened(self) -> Iterator[Event]:
        while True:
            try:
                yield self._connection.events.get_nowait()
            except Empty:
                return

    def _take(self, event: Event) -> None:
        match event:
            case Up(packet_bytes):
                self._begin(packet_bytes)
            case Down(too_large, at_s):
                self._end(too_large, at_s)
            case Reached(mid, refused, at_s):
                self._reached_at_s = at_s
                self._reach(mid, refused)
            case Came(name, payload):
                self._hear(name, payload)

    def _begin(self, packet_bytes: int | None) -> None:
        """A connection begins: all that is not acknowledged is sent again."""
        self._unreached.clear()
        self._reached_any, self._up_at_s = False, self._monotonic()
        self._links += 1
        self._sizes.broker_bytes = packet_bytes
        if not self._sizes.usable and not self._unusable_said:
            log.error("the broker takes no packet above %d bytes: nothing can be sent over it", packet_bytes)
            self._unusable_said = True
        self._start_over()

    def _start_over(self) -> None:
        for lane, flow in self._flows.items():
            flow.again(self._outbox.base_seq(lane) - 1, self._monotonic())
            flow.timeout_s, flow.backlog_up_to = ACK_TIMEOUT_S, self._outbox.last_seq(lane)

    def _end(self, too_large: bool, at_s: float) -> None:
        """A connection ended: if the broker took anything in it, the oldest message it did not take is suspect.

        Not so where it ended long after that message had its turn: a bad link does so too. From the second time on only
        what follows a link that held without it counts; where it ends by itself without it, that is not its fault.
        """
        blamed = next(iter(self._unreached.values()), None)
        self._unreached.clear()
        at_once = blamed is not None and at_s - max(blamed.at_s, self._reached_at_s) < ENDS_WITHIN_S
        if not at_once and not too_large:
            self._spare_what_was_held_back()
        if blamed is None or not (self._reached_any or too_large):
            return
        self._careful = blamed.lane
        suspect = self._flows[blamed.lane].suspect
        held_without_it = blamed.at_s - self._up_at_s >= QUIET_S
        if not too_large and not (at_once and (held_without_it or not suspect.isolated)):
            return
        enough = suspect.strike(blamed.first_seq) or too_large
        if blamed.records > 1 and (too_large or suspect.isolated):
            self._sizes.shrink(blamed.size)
        elif blamed.records == 1 and enough:
            self._give_up(blamed.lane, blamed.first_seq, TOO_LARGE if too_large else ENDS_LINKS)

    def _spare_what_was_held_back(self) -> None:
        for flow in self._flows.values():
            if flow.suspect.seq > flow.sent_up_to:
                flow.suspect.spare()

    def _reach(self, mid: int, refused: str) -> None:
        self._reached_any = True
        message = self._unreached.pop(mid, None)
        if refused and refused not in self._refusals_said:
            self._refusals_said.add(refused)
            log.warning("the broker does not take %s: %s", message or "our presence", refused)
        elif message and message.lane is self._careful:
            self._careful = None

    def _hear(self, name: str, payload: bytes) -> None:
        try:
            if parse(name).channel is Channel.ACK:
                self._acknowledge(records.decode_ack(payload))
        except ValueError as error:
            self.bad_acks += 1
            level = logging.WARNING if self.bad_acks == 1 else logging.DEBUG
            log.log(level, "%s: %s", name, error)

    def _acknowledge(self, ack: records.Ack) -> None:
        """The cloud is there: let go of what it has, and remember that it could have taken what it has not."""
        for lane, progress in ack.lanes.items():
            if self._outbox.acknowledge(lane, progress.stream, progress.up_to):
                self._flows[lane].acknowledged(self._outbox.base_seq(lane) - 1, self._monotonic())
                self._careful = None if self._careful is lane else self._careful
        for flow in self._flows.values():
            flow.heard = True

    def _in_order(self) -> list[Lane]:
        """Findings first, but a lane whose oldest record may be what ends connections waits for the others."""
        return sorted(Lane, key=lambda lane: (lane is self._careful, lane is not Lane.FINDINGS))

    def _resend_if_late(self, lane: Lane, now_s: float) -> None:
        flow, acked = self._flows[lane], self._outbox.base_seq(lane) - 1
        if flow.sent_up_to <= acked or now_s - flow.moved_at_s < flow.timeout_s:
            return
        log.debug("%s: no acknowledgement of %d to %d in time; sending again", lane, acked + 1, flow.sent_up_to)
        oldest = self._outbox.after(lane, acked, 1)
        behind_no_gap = oldest and oldest[0][0] == acked + 1  # else the cloud waits for what is missing before it
        if flow.heard and behind_no_gap and flow.suspect.strike(acked + 1):
            self._give_up(lane, acked + 1, NOT_TAKEN)
        flow.lates += 1
        flow.timeout_s = min(BACKOFF_MAX_S, flow.timeout_s * 2)
        flow.again(acked, now_s)

    def _give_up(self, lane: Lane, seq: int, cause: str) -> bool:
        """Put a record aside for good; say whether it is out of the way."""
        if not self._outbox.quarantine(lane, seq, cause):
            return False
        log.error("%s %d is put aside: %s", lane, seq, cause)
        self._flows[lane].suspect.clear(seq)
        self._careful = None
        return True

    def _send_next(self, lane: Lane, now_s: float) -> bool:
        flow = self._flows[lane]
        if self._careful is not None and self._unreached:
            return False  # one at a time, so that the right one is blamed
        room = min(flow.room(), MESSAGE_RECORDS)
        batch = self._outbox.after(lane, flow.sent_up_to, room) if room > 0 else []
        batch = _run(batch, self._sizes.message_bytes)
        if not batch:
            return False
        batch = flow.apart(batch, self._outbox.base_seq(lane) - 1)
        if flow.suspect.is_alone(batch[0][0]) and now_s - self._up_at_s < QUIET_S:
            return False  # to see whether the link holds without it
        is_backlog = batch[0][0] <= flow.backlog_up_to
        if is_backlog and not (self._may_be_dated(now_s) and self._pace.allows(now_s)):
            return False
        return self._send(lane, batch, is_backlog=is_backlog)

    def _send_losses(self) -> None:
        """Send declared losses ahead of all: where a gap is wider than the window, nothing else could close it."""
        flow = self._flows[Lane.FINDINGS]
        while batch := _run(self._outbox.losses_after(flow.losses_up_to, MESSAGE_RECORDS), self._sizes.message_bytes):
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
        """Whether a backlog may go: where a network has just come back, a time server is about to be found too."""
        first = self._links == 1  # of this run: who has been there before without a date gets none any more
        return not first or now_s - self._up_at_s >= DATED_WITHIN_S or not self._undated()

    def _send(self, lane: Lane, batch: list[tuple[int, bytes]], *, is_backlog: bool) -> bool:
        """Publish consecutive records as one message; say whether it is under way, or out of the way for good."""
        first, payload = batch[0][0], self._payload(lane, batch)
        if self._sizes.too_large(len(payload) + ENVELOPE_BYTES) and len(batch) == 1:
            return self._give_up(lane, first, TOO_LARGE)
        mid = self._connection.publish(topic(self._device, lane), payload)
        if mid is None:
            return False
        if is_backlog:
            self._pace.spend(len(payload))
        self._unreached[mid] = _Message(lane, first, len(batch), len(payload), self._monotonic())
        flow = self._flows[lane]
        if is_backlog or first <= flow.left_up_to:
            self.late_bytes += len(payload)
        flow.heard = flow.heard and first > self._outbox.base_seq(lane)
        flow.sent_up_to = batch[-1][0]
        flow.left_up_to = max(flow.left_up_to, flow.sent_up_to)
        flow.sent.append((batch[-1][0], len(batch)))
        return True

    def _presence_bytes(self, state: records.PresenceState) -> bytes:
        return records.encode(self._presence(state))


def _run(batch: list[tuple[int, bytes]], message_bytes: int) -> list[tuple[int, bytes]]:
    """Cut a batch to consecutive numbers and to a message's size; one record always fits."""
    size = 0
    for index, (seq, body) in enumerate(batch):
        size += len(body)
        if index and (seq != batch[index - 1][0] + 1 or size > message_bytes):
            return batch[:index]
    return batch
