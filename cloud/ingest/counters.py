"""Counters of one ingest process: messages committed, dead-lettered and dropped, the latter by reason and device.

What flows in: each batch and each drop. What flows out: counts for the API, and lines for the log.
"""

from collections import Counter
from enum import StrEnum

REPORT_EVERY_S = 60.0
DEVICES_MAX = 10_000  # whose own drops are counted apart
NAMED = 5  # devices in one line of the log


class DropReason(StrEnum):
    """Why a message was dropped. It is not acknowledged, so that its device sends it again."""

    TOO_FAST = "device_too_fast"  # the device exceeds its rate limit
    DEVICE_FULL = "device_queue_full"  # too many bytes of this device are waiting
    FULL = "queue_full"  # too many bytes of all devices are waiting
    DATABASE = "not_stored"  # the database failed
    OUTDATED = "presence_outdated"  # no loss: a later presence message of the device replaced it


_OWN_LIMITS = frozenset({DropReason.TOO_FAST, DropReason.DEVICE_FULL})


class Counters:
    """Counts of one process since its start."""

    def __init__(self) -> None:
        self.committed = 0  # messages, including dead-lettered ones and repeats
        self.dead_lettered = 0  # messages, and single records of messages
        self.dropped: Counter[DropReason] = Counter()
        self.above_limit: Counter[str] = Counter()  # messages by device, dropped for exceeding its own limits
        self._unreported: Counter[tuple[DropReason, str]] = Counter()
        self._reported_at_s = float("-inf")

    def drop(self, device: str, reason: DropReason) -> None:
        """Count a message that was dropped."""
        self.dropped[reason] += 1
        if reason in _OWN_LIMITS and (device in self.above_limit or len(self.above_limit) < DEVICES_MAX):
            self.above_limit[device] += 1
        if reason is not DropReason.OUTDATED:
            self._unreported[reason, device] += 1

    def report(self, now_s: float) -> list[str]:
        """Return the log lines about new drops: at once after the first one, then at most once a minute."""
        if not self._unreported or now_s < self._reported_at_s + REPORT_EVERY_S:
            return []
        lines = []
        for reason in DropReason:
            by_device = Counter({device: count for (why, device), count in self._unreported.items() if why is reason})
            if by_device:
                most = ", ".join(f"{device} ({count})" for device, count in by_device.most_common(NAMED))
                lines.append(f"{by_device.total()} of {len(by_device)} devices: {reason}; most of them of {most}")
        self._unreported.clear()
        self._reported_at_s = now_s
        return lines
