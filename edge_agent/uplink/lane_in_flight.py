"""One lane's records in flight: how far it was sent, when it last progressed, how many may still be sent.

What flows in: sequence numbers that were sent or acknowledged, seconds of a monotonic clock. It does no I/O.
"""

from collections import deque
from dataclasses import dataclass, field

from edge_agent.uplink.poison import PoisonDetector

ACK_TIMEOUT_S = 15.0  # the first; it doubles to BACKOFF_MAX_S while nothing is acknowledged
ALONE_AFTER = 2  # timeouts after which the oldest record is sent alone
IN_FLIGHT = 128  # records of a lane that may be in flight without an acknowledgement


@dataclass(slots=True)
class LaneInFlight:
    """How far a lane has been sent in this connection, and whether it progresses."""

    sent_up_to: int = 0
    left_up_to: int = 0  # the highest that was ever handed to a broker
    backlog_up_to: int = 0  # records older than the connection
    moved_at_s: float = 0.0
    timeout_s: float = ACK_TIMEOUT_S
    timeouts: int = 0  # timeouts in a row without progress
    cloud_answered: bool = False  # whether the cloud has acknowledged anything since the oldest record was last sent
    poison: PoisonDetector = field(default_factory=PoisonDetector)
    losses_up_to: int = 0  # how far declared losses have been sent ahead of the rest
    losses_left_up_to: int = 0  # the highest of them ever handed to a broker
    sent: deque[tuple[int, int]] = field(default_factory=deque)  # (last number, records) of each message in flight

    def resend(self, acked: int, now_s: float) -> None:
        """Send again from the last acknowledgement."""
        self.sent_up_to = self.losses_up_to = acked
        self.moved_at_s, self.cloud_answered = now_s, False
        self.sent.clear()

    def acknowledged(self, acked: int, now_s: float) -> None:
        """The cloud acknowledged records: reset the timeout."""
        self.moved_at_s, self.timeout_s, self.timeouts = now_s, ACK_TIMEOUT_S, 0
        self.sent_up_to = max(self.sent_up_to, acked)
        self.poison.clear(acked)
        while self.sent and self.sent[0][0] <= acked:
            self.sent.popleft()

    def isolate(self, batch: list[tuple[int, bytes]], acked: int) -> list[tuple[int, bytes]]:
        """Send a record that may be poison alone: the records after it show whether the cloud answers."""
        if self.timeouts >= ALONE_AFTER and self.sent_up_to <= acked:
            return batch[:1]
        if self.poison.isolated and batch[0][0] <= self.poison.seq:
            return [one for one in batch if one[0] < self.poison.seq] or batch[:1]
        return batch

    def free_records(self) -> int:
        """Return how many records may still be sent before the next acknowledgement."""
        return IN_FLIGHT - sum(count for _, count in self.sent)
