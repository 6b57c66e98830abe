"""Arrivals: what waits for the database, bounded and fair between devices, findings before telemetry.

What flows in: messages in the order in which the broker hands them over. What flows out: the next one to take.
Presence comes first, and of each device only its latest word waits. Then come findings, then telemetry, and within each
the devices take turns: a device that sends much waits behind itself, not in front of the others. What finds no room is
dropped and counted; it has not been acknowledged, so its device sends it again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cloud.ingest.counters import Dropped, Tally
from edge_agent.protocol.topics import ROOT, Channel

MESSAGE_COST = 1024  # bytes that a message counts for beside its own: an empty one makes work, too
READING_SHARE = 0.1  # of our time that one device may have for reading what it sends
TELEMETRY_SHARE = 0.75  # of any room and rate; the rest is for what matters more
BURST_S = 30.0  # a device may send this many seconds of its rate at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may wait in bytes, in all and of one device, and how much one device may send in the long run."""

    waiting: int
    device_waiting: int
    device_bytes_s: float


class Message(NamedTuple):
    """What was published where."""

    topic: str
    payload: bytes


class Arrivals(asyncio.Queue[Message]):
    """The queue that the session with the broker fills and the ingest empties."""

    def __init__(self, limits: Limits, tally: Tally, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._limits, self._tally, self._monotonic = limits, tally, monotonic
        self._presence: dict[str, Message] = {}
        self._findings, self._telemetry = _Ring(), _Ring()
        self._count, self._bytes = 0, 0
        self._bytes_of: dict[str, int] = {}
        self._paid_until: dict[str, float] = {}  # when a device will have made up for what it has sent

    def qsize(self) -> int:
        """Return how many messages wait."""
        return self._count

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._count

    def charge(self, device: str, seconds: float) -> None:
        """Count the time that it took to read what a device has sent towards what it may send."""
        if paid_until := self._paid_until.get(device):
            self._paid_until[device] = max(paid_until, self._monotonic()) + seconds / READING_SHARE

    def again(self, presence: Message) -> None:
        """Let a device's word wait once more, unless a later one waits already."""
        if _address(presence)[0] not in self._presence:
            self.put_nowait(presence)

    def _put(self, item: Message) -> None:
        device, channel = _address(item)
        cost = _cost(item)
        if channel == Channel.PRESENCE and device in self._presence:
            self._gone(device, self._presence.pop(device))
            self._tally.drop(device, Dropped.OUTDATED)
        if why := self._refusal(device, channel, cost):
            self._tally.drop(device, why)
            return
        self._count += 1
        self._bytes += cost
        self._bytes_of[device] = self._bytes_of.get(device, 0) + cost
        if channel == Channel.PRESENCE:
            self._presence[device] = item
        else:
            (self._findings if channel == Channel.FINDINGS else self._telemetry).put(device, item)

    def _get(self) -> Message:
        if self._presence:
            device = next(iter(self._presence))
            message = self._presence.pop(device)
        else:
            device, message = (self._findings or self._telemetry).take()
        self._gone(device, message)
        return message

    def _gone(self, device: str, message: Message) -> None:
        cost = _cost(message)
        self._count -= 1
        self._bytes -= cost
        left = self._bytes_of[device] - cost
        if left:
            self._bytes_of[device] = left
        else:
            del self._bytes_of[device]

    def _refusal(self, device: str, channel: str, cost: int) -> Dropped | None:
        """Why this much more of a device can't wait. Presence takes one place at most, and nobody sends it again."""
        limits, share = self._limits, TELEMETRY_SHARE if channel == Channel.TELEMETRY else 1.0
        if self._bytes + cost > share * limits.waiting:
            return Dropped.FULL
        if channel == Channel.PRESENCE:
            return None
        if self._bytes_of.get(device, 0) + cost > share * limits.device_waiting:
            return Dropped.DEVICE_FULL
        now_s = self._monotonic()
        paid_until = max(now_s, self._paid_until.get(device, now_s)) + cost / limits.device_bytes_s
        if paid_until > now_s + share * BURST_S:
            return Dropped.TOO_FAST
        if device not in self._paid_until and len(self._paid_until) >= 100_000:  # not for ever those who fell silent
            self._paid_until = {name: until for name, until in self._paid_until.items() if until > now_s}
        self._paid_until[device] = paid_until
        return None


class _Ring:
    """Messages of one kind; the devices take turns."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Message]] = {}  # whose turn it is comes first

    def __bool__(self) -> bool:
        return bool(self._queues)

    def put(self, device: str, message: Message) -> None:
        if queue := self._queues.get(device):
            queue.append(message)
        else:
            self._queues[device] = deque((message,))

    def take(self) -> tuple[str, Message]:
        device = next(iter(self._queues))
        queue = self._queues.pop(device)
        message = queue.popleft()
        if queue:
            self._queues[device] = queue  # behind all others
        return device, message


def device_of(topic: str) -> str:
    """Return what a topic names as its device, be it one or not."""
    return topic.removeprefix(f"{ROOT}/").partition("/")[0]


def _address(message: Message) -> tuple[str, str]:
    device, _, channel = message.topic.removeprefix(f"{ROOT}/").partition("/")
    return device, channel


def _cost(message: Message) -> int:
    return MESSAGE_COST + len(message.payload)
