"""Fair queue: messages that wait for the database, bounded, fair between devices, findings before telemetry.

What flows in: messages in the order in which the broker delivers them. What flows out: the next message to process.
Presence comes first; only the latest presence message of each device is kept. Findings come next, then telemetry.
Within each of these, devices take turns (round robin), so that a device with many messages delays only itself. A
message that exceeds a bound is dropped and counted; it has not been acknowledged, so its device sends it again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Self

from cloud.ingest.counters import Counters, DropReason
from edge_agent.protocol.topics import ROOT, Channel

MESSAGE_COST = 1024  # bytes added to each message's own size: an empty one costs work, too
PARSING_SHARE = 0.1  # of the process's time that parsing the messages of one device may take
TELEMETRY_SHARE = 0.75  # of each bound and rate; the rest is reserved for findings and presence
BURST_S = 30.0  # a device may send this many seconds of its rate at once
_DEBTORS_MAX = 100_000  # devices whose rate is tracked before those within their rate are removed
_PREFIX = f"{ROOT}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many bytes may wait, in all and of one device, and how many bytes a second one device may send."""

    waiting: int
    device_waiting: int
    device_bytes_s: float


class QueuedMessage(NamedTuple):
    """A published message, and the device and channel in its topic, valid or not."""

    topic: str
    payload: bytes
    device: str
    channel: str

    @classmethod
    def of(cls, topic: str, payload: bytes) -> Self:
        """Split the topic into device and channel."""
        device, _, channel = topic.removeprefix(_PREFIX).partition("/")
        return cls(topic, payload, device, channel)


class FairQueue(asyncio.Queue[QueuedMessage]):
    """The queue that the MQTT session fills and the worker empties."""

    def __init__(self, limits: Limits, counters: Counters, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._limits, self._counters, self._monotonic = limits, counters, monotonic
        self._presence: dict[str, QueuedMessage] = {}
        self._findings, self._telemetry = _RoundRobin(), _RoundRobin()
        self._count, self._bytes = 0, 0
        self._bytes_of: dict[str, int] = {}
        self._paid_until: dict[str, float] = {}  # when a device will be within its rate again

    def qsize(self) -> int:
        """Return how many messages wait."""
        return self._count

    def empty(self) -> bool:
        """Whether no message waits."""
        return not self._count

    def charge(self, device: str, seconds: float) -> None:
        """Count the time that it took to parse a device's message towards the device's rate."""
        if paid_until := self._paid_until.get(device):
            self._paid_until[device] = max(paid_until, self._monotonic()) + seconds / PARSING_SHARE

    def requeue_presence(self, message: QueuedMessage) -> None:
        """Queue a presence message again, unless a later one of the same device is waiting."""
        if message.device not in self._presence:
            self.put_nowait(message)

    def _put(self, item: QueuedMessage) -> None:
        device, channel, cost = item.device, item.channel, MESSAGE_COST + len(item.payload)
        if channel == Channel.PRESENCE and device in self._presence:
            self._subtract(self._presence.pop(device))
            self._counters.drop(device, DropReason.OUTDATED)
        if reason := self._reason_to_drop(device, channel, cost):
            self._counters.drop(device, reason)
            return
        self._count += 1
        self._bytes += cost
        self._bytes_of[device] = self._bytes_of.get(device, 0) + cost
        if channel == Channel.PRESENCE:
            self._presence[device] = item
        else:
            (self._findings if channel == Channel.FINDINGS else self._telemetry).put(item)

    def _get(self) -> QueuedMessage:
        if self._presence:
            message = self._presence.pop(next(iter(self._presence)))
        else:
            message = (self._findings or self._telemetry).get()
        self._subtract(message)
        return message

    def _subtract(self, message: QueuedMessage) -> None:
        cost = MESSAGE_COST + len(message.payload)
        self._count -= 1
        self._bytes -= cost
        rest = self._bytes_of[message.device] - cost
        if rest:
            self._bytes_of[message.device] = rest
        else:
            del self._bytes_of[message.device]

    def _reason_to_drop(self, device: str, channel: str, cost: int) -> DropReason | None:
        """Return which bound a message exceeds. Presence has no bound of its own: a device holds one place at most."""
        limits, share = self._limits, TELEMETRY_SHARE if channel == Channel.TELEMETRY else 1.0
        if self._bytes + cost > share * limits.waiting:
            return DropReason.FULL
        if channel == Channel.PRESENCE:
            return None
        if self._bytes_of.get(device, 0) + cost > share * limits.device_waiting:
            return DropReason.DEVICE_FULL
        now_s = self._monotonic()
        paid_until = max(now_s, self._paid_until.get(device, now_s)) + cost / limits.device_bytes_s
        if paid_until > now_s + share * BURST_S:
            return DropReason.TOO_FAST
        if len(self._paid_until) >= _DEBTORS_MAX and device not in self._paid_until:
            self._paid_until = {name: until for name, until in self._paid_until.items() if until > now_s}
        self._paid_until[device] = paid_until
        return None


class _RoundRobin:
    """Messages of one priority; the devices take turns."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[QueuedMessage]] = {}  # the first device is next

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, message: QueuedMessage) -> None:
        if queue := self._queues.get(message.device):
            queue.append(message)
        else:
            self._queues[message.device] = deque((message,))

    def get(self) -> QueuedMessage:
        device = next(iter(self._queues))
        queue = self._queues.pop(device)
        message = queue.popleft()
        if queue:
            self._queues[device] = queue  # behind all others
        return message
