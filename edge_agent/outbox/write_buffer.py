"""Write buffer: telemetry records in memory, by number, and when they have to be written to disk.

What flows in: records with their numbers, whether the link is up, seconds of a clock that does not step. What flows
out: the records again, and the numbers of those that were dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

LINK_DOWN_S = 60.0  # how long a link is down before telemetry is written to disk because of it
MAX_BYTES = 1 << 20  # a full buffer is written to disk; where that fails its oldest records are dropped


@dataclass(slots=True)
class WriteBuffer:
    """Telemetry that a power cut would lose."""

    records: dict[int, bytes] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)  # numbers dropped while the store was not writable
    size: int = 0  # bytes
    _filled_since_s: float | None = None  # when its oldest record was added
    _down_since_s: float | None = None
    _is_down: bool = False  # for longer than LINK_DOWN_S
    _down_flushed: bool = False  # since the link went down

    def add(self, number: int, record: bytes) -> None:
        """Add the newest record."""
        self.records[number] = record
        self.size += len(record)

    def remove(self, number: int) -> None:
        """Remove a record, if it is here."""
        self.size -= len(self.records.pop(number, b""))

    def remove_up_to(self, number: int) -> None:
        """Remove all records up to this number."""
        for old in [one for one in self.records if one <= number]:
            self.remove(old)

    def replace(self, changed: Mapping[int, bytes]) -> None:
        """Replace the bodies of some records."""
        self.records.update(changed)
        self.size = sum(map(len, self.records.values()))

    def above(self, number: int) -> list[tuple[int, bytes]]:
        """Return the records above a number, in order."""
        return [(one, record) for one, record in self.records.items() if one > number]

    @property
    def is_full(self) -> bool:
        """Whether it takes more memory than it may."""
        return self.size > MAX_BYTES

    def drop_oldest(self) -> None:
        """Drop the oldest records until it is no longer full."""
        for number in list(self.records):
            if not self.is_full:
                break
            self.remove(number)
            self.dropped.append(number)

    def is_due(self, now_s: float, every_s: float, *, connected: bool) -> bool:
        """Whether it has to be written to disk: once when a link stays down, and then every `every_s` seconds."""
        if connected:
            self._down_since_s, self._is_down, self._down_flushed = None, False, False
        elif self._down_since_s is None:
            self._down_since_s = now_s
        if not self.records:
            self._filled_since_s = None
            return False
        self._filled_since_s = now_s if self._filled_since_s is None else self._filled_since_s
        self._is_down = self._down_since_s is not None and now_s - self._down_since_s >= LINK_DOWN_S
        return (self._is_down and not self._down_flushed) or now_s - self._filled_since_s >= every_s

    def mark_written(self) -> None:
        """Empty it: its records are on disk, and the dropped numbers are in the loss table."""
        self.records.clear()
        self.dropped.clear()
        self.size, self._filled_since_s, self._down_flushed = 0, None, self._is_down
