"""The tally: how many messages were taken, dead-lettered and dropped since the start, and whose were dropped, and why.

What flows in: each batch and each drop. What flows out: counts for the API, and lines for the log.
"""

from collections import Counter
from enum import StrEnum

REPORT_EVERY_S = 60.0
NAMED = 5  # devices in one line of the log


class Dropped(StrEnum):
    """Why a message was not taken. It was not acknowledged either, so that its device sends it again."""

    TOO_FAST = "device_too_fast"  # the device sends more than one may
    DEVICE_FULL = "device_queue_full"  # too much of this device waits
    FULL = "queue_full"  # too much waits in all
    DATABASE = "not_stored"  # the database was in trouble
    OUTDATED = "presence_outdated"  # no loss: the device has said since whether it is there


class Tally:
    """Counts of one process, since its start."""

    def __init__(self) -> None:
        self.taken = 0  # messages that were committed, dead-lettered ones and repeats included
        self.dead_lettered = 0  # messages, and single records of messages
        self.dropped: Counter[Dropped] = Counter()
        self._unsaid: Counter[tuple[Dropped, str]] = Counter()
        self._said_at_s = float("-inf")

    def drop(self, device: str, why: Dropped) -> None:
        """Count a message that was not taken."""
        self.dropped[why] += 1
        if why is not Dropped.OUTDATED:
            self._unsaid[why, device] += 1

    def report(self, now_s: float) -> list[str]:
        """Return what is to be said about drops: at once after the first one, then at most once a minute."""
        if not self._unsaid or now_s < self._said_at_s + REPORT_EVERY_S:
            return []
        lines = []
        for why in Dropped:
            of_device = Counter({device: count for (reason, device), count in self._unsaid.items() if reason is why})
            if of_device:
                most = ", ".join(f"{device} ({count})" for device, count in of_device.most_common(NAMED))
                lines.append(f"{of_device.total()} of {len(of_device)} devices: {why}; most of them of {most}")
        self._unsaid.clear()
        self._said_at_s = now_s
        return lines
