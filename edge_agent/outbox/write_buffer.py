"""Held: the telemetry that waits in memory, by number, and when it has waited for too long.

What flows in: records with their numbers, whether the link is there, seconds of a clock that does not step. What flows
out: the records again, and the numbers of those that had to be given up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

GRACE_S = 60.0  # a link may be away for so long before telemetry is written down because of it
MOST_BYTES = 1 << 20  # beyond it telemetry is written down, or where that fails the oldest goes


@dataclass(slots=True)
class Held:
    """What a power cut would take."""

    records: dict[int, bytes] = field(default_factory=dict)
    given_up: list[int] = field(default_factory=list)  # left while the store could not be written
    size: int = 0  # bytes
    _since_s: float | None = None  # when the oldest of it began to wait
    _away_since_s: float | None = None
    _is_away: bool = False  # for longer than a moment
    _away_written: bool = False  # since then

    def add(self, number: int, record: bytes) -> None:
        """Take the newest one."""
        self.records[number] = record
        self.size += len(record)

    def drop(self, number: int) -> None:
        """Let go of one, if it is here."""
        self.size -= len(self.records.pop(number, b""))

    def drop_up_to(self, number: int) -> None:
        """Let go of all up to this one."""
        for old in [one for one in self.records if one <= number]:
            self.drop(old)

    def replace(self, changed: Mapping[int, bytes]) -> None:
        """Change some of those that are here."""
        self.records.update(changed)
        self.size = sum(map(len, self.records.values()))

    def above(self, number: int) -> list[tuple[int, bytes]]:
        """Return those with higher numbers, in order."""
        return [(one, record) for one, record in self.records.items() if one > number]

    @property
    def is_too_much(self) -> bool:
        """Whether it takes more memory than it may."""
        return self.size > MOST_BYTES

    def give_up_oldest(self) -> None:
        """Let the oldest go until the rest is not too much."""
        for number in list(self.records):
            if not self.is_too_much:
                break
            self.drop(number)
            self.given_up.append(number)

    def is_due(self, now_s: float, every_s: float, *, connected: bool) -> bool:
        """Whether it is to be written down: once a link stays away, and then at the set interval."""
        if connected:
            self._away_since_s, self._is_away, self._away_written = None, False, False
        elif self._away_since_s is None:
            self._away_since_s = now_s
        if not self.records:
            self._since_s = None
            return False
        self._since_s = now_s if self._since_s is None else self._since_s
        self._is_away = self._away_since_s is not None and now_s - self._away_since_s >= GRACE_S
        return (self._is_away and not self._away_written) or now_s - self._since_s >= every_s

    def written(self) -> None:
        """All of it is on disk, and what was given up is noted there."""
        self.records.clear()
        self.given_up.clear()
        self.size, self._since_s, self._away_written = 0, None, self._is_away
