"""Rate limit of a backlog, and size limit of messages.

What flows in: sizes in bytes, and seconds of a monotonic clock. What flows out: permissions and size limits.
"""

from dataclasses import dataclass

MESSAGE_BYTES = 200_000  # of records in one message: below the 256 KiB that common brokers allow
LEAST_MESSAGE_BYTES = 4_096
LEAST_PACKET_BYTES = 1_536  # a declared loss must fit: it can't be left out
ENVELOPE_BYTES = 512  # topic, header and the envelope around the records, generously


@dataclass(slots=True)
class RateLimiter:
    """A token bucket in bytes: a backlog message spends its size, and the bucket refills at a steady rate."""

    bytes_per_s: float
    burst_bytes: float = MESSAGE_BYTES
    _left: float | None = None
    _at_s: float = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether the next message of the backlog may be sent now."""
        filled = 0.0 if self._left is None else (now_s - self._at_s) * self.bytes_per_s
        self._left = min(self.burst_bytes, (self.burst_bytes if self._left is None else self._left) + filled)
        self._at_s = now_s
        return self._left > 0

    def spend(self, sent_bytes: int) -> None:
        """Take a sent message out of the bucket; it may be larger than what was left."""
        self._left = (self.burst_bytes if self._left is None else self._left) - sent_bytes


@dataclass(slots=True)
class PacketLimit:
    """How large a message may be: as the broker announces, or below the sizes on which connections ended."""

    broker_bytes: int | None = None  # the largest packet that the broker accepts, where it announces one (MQTT 5)
    _safe_bytes: int = MESSAGE_BYTES

    @property
    def message_bytes(self) -> int:
        """Bytes of records in one message; a single larger record still makes a message of its own."""
        announced = MESSAGE_BYTES if self.broker_bytes is None else max(1, self.broker_bytes - ENVELOPE_BYTES)
        return min(announced, self._safe_bytes)

    @property
    def usable(self) -> bool:
        """Whether the broker accepts packets that are large enough to send any record."""
        return self.broker_bytes is None or self.broker_bytes >= LEAST_PACKET_BYTES

    def too_large(self, packet_bytes: int) -> bool:
        """Whether the packet exceeds the maximum that the broker announced."""
        return self.broker_bytes is not None and packet_bytes > self.broker_bytes

    def shrink(self, message_bytes: int) -> None:
        """Connections ended on messages of this size: send smaller ones from now on."""
        self._safe_bytes = max(LEAST_MESSAGE_BYTES, min(self._safe_bytes, message_bytes // 2))
