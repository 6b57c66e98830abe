"""Pacing: how long to wait before the next connection, how fast to send a backlog, how large a message may be.

What flows in: what happened, and seconds of a clock that does not step. What flows out: waits, permissions, sizes.
"""

import random
from dataclasses import dataclass

BACKOFF_MIN_S = 5.0
BACKOFF_MAX_S = 600.0
STABLE_AFTER_S = 300.0  # a link counts as good, and the backoff starts anew, after it has held this long
MESSAGE_BYTES = 200_000  # of records in one message: below the 256 KiB that common brokers allow
LEAST_MESSAGE_BYTES = 4_096
LEAST_PACKET_BYTES = 1_536  # a declared loss fits: what accounts for others can't be left out
ENVELOPE_BYTES = 512  # topic, header and the envelope around the records, generously
TRIES = 6  # after so many a record is not tried again
_ISOLATE_AFTER = 2  # tries after which a record travels alone, and messages become smaller


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


@dataclass(slots=True)
class Pace:
    """A bucket of bytes: what is sent of a backlog is taken out, and it fills again at a steady rate."""

    bytes_per_s: float
    burst_bytes: float = MESSAGE_BYTES
    _left: float | None = None
    _at_s: float = 0.0

    def allows(self, now_s: float) -> bool:
        """Whether the next message of the backlog may go now."""
        filled = 0.0 if self._left is None else (now_s - self._at_s) * self.bytes_per_s
        self._left = min(self.burst_bytes, (self.burst_bytes if self._left is None else self._left) + filled)
        self._at_s = now_s
        return self._left > 0

    def spend(self, sent_bytes: int) -> None:
        """A message went; it may have been larger than what was left."""
        self._left = (self.burst_bytes if self._left is None else self._left) - sent_bytes


@dataclass(slots=True)
class Sizes:
    """How large a message may be: what the broker says, or what connections have survived."""

    broker_bytes: int | None = None  # the largest packet the broker takes, where it says so (MQTT 5)
    _learnt_bytes: int = MESSAGE_BYTES

    @property
    def message_bytes(self) -> int:
        """Bytes of records in one message; a single larger record still makes a message of its own."""
        told = MESSAGE_BYTES if self.broker_bytes is None else max(1, self.broker_bytes - ENVELOPE_BYTES)
        return min(told, self._learnt_bytes)

    @property
    def usable(self) -> bool:
        """Whether the broker takes packets that are large enough to be of any use."""
        return self.broker_bytes is None or self.broker_bytes >= LEAST_PACKET_BYTES

    def too_large(self, packet_bytes: int) -> bool:
        """Whether the broker has said that it won't take such a packet."""
        return self.broker_bytes is not None and packet_bytes > self.broker_bytes

    def shrink(self, message_bytes: int) -> None:
        """Connections ended on messages of this size: send smaller ones from now on."""
        self._learnt_bytes = max(LEAST_MESSAGE_BYTES, min(self._learnt_bytes, message_bytes // 2))


@dataclass(slots=True)
class Suspect:
    """The record that has been sent most often in vain while others got through, and how often."""

    seq: int = 0
    strikes: int = 0

    def strike(self, seq: int) -> bool:
        """It was sent in vain once more; say whether that is enough."""
        self.strikes = self.strikes + 1 if seq == self.seq else 1
        self.seq = seq
        return self.strikes >= TRIES

    def clear(self, up_to: int) -> None:
        """All up to this number got through."""
        if up_to >= self.seq:
            self.seq = self.strikes = 0

    def spare(self) -> None:
        """What was held against it happened without it, too: it travels with the others again."""
        self.strikes = min(self.strikes, _ISOLATE_AFTER - 1)

    @property
    def isolated(self) -> bool:
        """Whether it travels alone, so that only it can be to blame."""
        return self.strikes >= _ISOLATE_AFTER

    def is_alone(self, seq: int) -> bool:
        """Whether this is it, and it travels alone."""
        return self.isolated and seq == self.seq
