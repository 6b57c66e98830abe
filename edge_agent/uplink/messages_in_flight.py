"""Messages handed to the broker: which of them ended the connection, and which record has to be quarantined.

What flows in: messages sent, the broker's acknowledgements, ends of connections. What flows out: quarantined records
to the outbox, smaller messages, and the lane that is sent one message at a time until the cause is known.
"""

import logging
from dataclasses import dataclass

from edge_agent.outbox import Outbox
from edge_agent.protocol.topics import Lane
from edge_agent.uplink.lane_in_flight import LaneInFlight
from edge_agent.uplink.rate_limit import PacketLimit

log = logging.getLogger(__name__)

QUIET_S = 30.0  # how long a link must be up before a suspect is tried again
ENDS_WITHIN_S = 10.0  # after a message was sent: a link that ends later has another cause

ENDS_LINKS = "the broker ended the connection each time it was sent"
TOO_LARGE = "it is larger than the broker accepts"
NOT_ACCEPTED = "the cloud accepted others, but never this one"


@dataclass(frozen=True, slots=True)
class MessageInFlight:
    """A message handed to the connection that the broker has not acknowledged."""

    lane: Lane
    first_seq: int
    records: int
    size: int
    at_s: float


class MessagesInFlight:
    """The messages of one connection that the broker has not acknowledged, oldest first."""

    def __init__(self, outbox: Outbox, lanes: dict[Lane, LaneInFlight], packet_limit: PacketLimit) -> None:
        """`lanes` and `packet_limit` are shared with the uplink."""
        self._outbox, self._lanes, self._packet_limit = outbox, lanes, packet_limit
        self._unacknowledged: dict[int, MessageInFlight] = {}  # by message id
        self._acknowledged_any = False  # whether the broker acknowledged anything in this connection
        self._acknowledged_at_s = 0.0  # when it acknowledged the last
        self._connected_at_s = 0.0
        self._refusals_logged: set[str] = set()
        self.cautious_lane: Lane | None = None
        """Its oldest record was in flight when the link ended: its messages are sent one at a time, after others."""

    def start_new_store(self, outbox: Outbox) -> None:
        """Forget what was sent from another outbox."""
        self._outbox, self.cautious_lane = outbox, None
        self._unacknowledged.clear()

    def on_connected(self, now_s: float) -> None:
        """Start a connection: nothing is in flight."""
        self._unacknowledged.clear()
        self._acknowledged_any, self._connected_at_s = False, now_s

    def add(self, mid: int, message: MessageInFlight) -> None:
        """Add a message that was handed to the connection under this id."""
        self._unacknowledged[mid] = message

    def on_cloud_ack(self, lane: Lane) -> None:
        """Note that the cloud acknowledged records of a lane: it is not the cause."""
        self.cautious_lane = None if self.cautious_lane is lane else self.cautious_lane

    @property
    def must_wait(self) -> bool:
        """Whether one message has to be acknowledged before the next is sent, so that the cause is known."""
        return self.cautious_lane is not None and bool(self._unacknowledged)

    def must_hold_back(self, lane: Lane, seq: int, now_s: float) -> bool:
        """Whether a suspect is held back until the link has been up without it for some time."""
        return self._lanes[lane].poison.is_alone(seq) and now_s - self._connected_at_s < QUIET_S

    def on_disconnected(self, too_large: bool, at_s: float) -> None:
        """Suspect the oldest message that the broker did not acknowledge, if it acknowledged anything before.

        A link that ended long after that message was sent had another cause. From the second time on, only an end
        that follows a quiet period without the suspect counts; an end without it clears it.
        """
        blamed = next(iter(self._unacknowledged.values()), None)
        self._unacknowledged.clear()
        at_once = blamed is not None and at_s - max(blamed.at_s, self._acknowledged_at_s) < ENDS_WITHIN_S
        if not at_once and not too_large:
            self._clear_unsent_suspects()
        if blamed is None or not (self._acknowledged_any or too_large):
            return
        self.cautious_lane = blamed.lane
        poison = self._lanes[blamed.lane].poison
        stable_without_it = blamed.at_s - self._connected_at_s >= QUIET_S
        if not too_large and not (at_once and (stable_without_it or not poison.isolated)):
            return
        enough = poison.strike(blamed.first_seq) or too_large
        if blamed.records > 1 and (too_large or poison.isolated):
            self._packet_limit.shrink(blamed.size)
        elif blamed.records == 1 and enough:
            self.quarantine(blamed.lane, blamed.first_seq, TOO_LARGE if too_large else ENDS_LINKS)

    def on_broker_ack(self, mid: int, refused: str, at_s: float) -> None:
        """Note the broker's acknowledgement of a message; `refused` is its reason where it refused it."""
        self._acknowledged_any, self._acknowledged_at_s = True, at_s
        message = self._unacknowledged.pop(mid, None)
        if refused and refused not in self._refusals_logged:
            self._refusals_logged.add(refused)
            log.warning("the broker refuses %s: %s", message or "the presence message", refused)
        elif message and message.lane is self.cautious_lane:
            self.cautious_lane = None

    def quarantine(self, lane: Lane, seq: int, cause: str) -> bool:
        """Quarantine a record for good; return whether it no longer blocks its lane."""
        if not self._outbox.quarantine(lane, seq, cause):
            return False
        log.error("%s %d is quarantined: %s", lane, seq, cause)
        self._lanes[lane].poison.clear(seq)
        self.cautious_lane = None
        return True

    def _clear_unsent_suspects(self) -> None:
        for flow in self._lanes.values():
            if flow.poison.seq > flow.sent_up_to:
                flow.poison.acquit()
