"""Poison detection: finds the record that is sent repeatedly in vain while other records arrive.

What flows in: sequence numbers that were sent in vain or arrived. It does no I/O.
"""

from dataclasses import dataclass

TRIES = 6  # sends in vain after which a record is quarantined
_ISOLATE_AFTER = 2  # sends in vain after which a record is sent alone, and messages become smaller


@dataclass(slots=True)
class PoisonDetector:
    """Counts how often the oldest record of a lane was sent in vain while others arrived."""

    seq: int = 0
    strikes: int = 0

    def strike(self, seq: int) -> bool:
        """Count one more send in vain of this record; return whether the limit is reached."""
        self.strikes = self.strikes + 1 if seq == self.seq else 1
        self.seq = seq
        return self.strikes >= TRIES

    def clear(self, up_to: int) -> None:
        """Forget the suspect if it is up to this number: it arrived."""
        if up_to >= self.seq:
            self.seq = self.strikes = 0

    def acquit(self) -> None:
        """Note that the same failure happened without the suspect: it is sent with the others again."""
        self.strikes = min(self.strikes, _ISOLATE_AFTER - 1)

    @property
    def isolated(self) -> bool:
        """Whether the suspect is sent alone, so that only it can be the cause."""
        return self.strikes >= _ISOLATE_AFTER

    def is_alone(self, seq: int) -> bool:
        """Whether this is the suspect, and it is sent alone."""
        return self.isolated and seq == self.seq
