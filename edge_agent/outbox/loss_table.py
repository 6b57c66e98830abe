"""Loss table: numbers whose records are lost, kept until the cloud has counted them.

What flows in: numbers and the cause. What flows out: ranges that the agent declares, a record each; adjacent ranges
with the same cause are joined. Writes run in the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Loss
from edge_agent.protocol.topics import Lane

UNCLEAN_STOP = "the agent stopped before it wrote its buffered telemetry to disk"
STORE_FELL_BACK = "the store lost its last commits"
QUOTA_EXCEEDED = "the storage quota of the device was used up"
STORE_UNWRITABLE = "the store was not writable for too long"
STORE_DAMAGED = "the store that held them was damaged or missing"
RECORD_UNREADABLE = "its checksum in the store is wrong"

_ADD = "INSERT OR REPLACE INTO lost (lane, stream, first_seq, last_seq, cause) VALUES (?, ?, ?, ?, ?)"
_ADJACENT = "SELECT first_seq FROM lost WHERE lane = ? AND stream = ? AND last_seq = ? AND cause = ? AND NOT declared"
_UNDECLARED = "SELECT lane, stream, first_seq, last_seq, cause FROM lost WHERE NOT declared LIMIT ?"
_ALL = "SELECT lane, stream, first_seq, last_seq, cause FROM lost"
_DECLARE = "UPDATE lost SET declared = ? WHERE lane = ? AND stream = ? AND first_seq = ? AND last_seq = ?"
_UNDECLARE = "UPDATE lost SET declared = 0 WHERE declared = ?"
_DELETE_COUNTED = "DELETE FROM lost WHERE lane = ? AND stream = ? AND declared AND last_seq <= ?"
_RENUMBER = "UPDATE lost SET declared = ? WHERE declared = ?"
_ABOVE = "SELECT first_seq, last_seq, cause FROM lost WHERE lane = ? AND stream = ? AND last_seq > ? ORDER BY first_seq"
_UNCOUNTED = (
    "SELECT lane, stream, last_seq FROM lost WHERE stream NOT IN (SELECT stream FROM lane) ORDER BY lane, stream"
)
_DELETE_STREAM = "DELETE FROM lost WHERE lane = ? AND stream = ?"
_DELETE_OLD_STREAMS = "DELETE FROM lost WHERE declared BETWEEN 1 AND ? AND stream NOT IN (SELECT stream FROM lane)"


@dataclass(frozen=True, slots=True)
class LostRange:
    """Numbers of a stream whose records are lost (both ends included), and the cause."""

    lane: Lane
    stream: str
    first_seq: int
    last_seq: int
    cause: str


def loss_record(lost: LostRange, now: Instant) -> Loss:
    """Return the record that declares it."""
    return Loss(
        at=now, lane=lost.lane, stream=lost.stream, first_seq=lost.first_seq, last_seq=lost.last_seq, reason=lost.cause
    )


def add(db: sqlite3.Connection, lane: Lane, stream: str, ranges: Iterable[tuple[int, int]], cause: str) -> None:
    """Add ranges of numbers (both ends included; an empty one has its last below its first)."""
    for first, last in ranges:
        if first <= last:
            adjacent = db.execute(_ADJACENT, (lane, stream, first - 1, cause)).fetchone()
            db.execute(_ADD, (lane, stream, adjacent[0] if adjacent else first, last, cause))


def undeclared(db: sqlite3.Connection, limit: int) -> list[LostRange]:
    """Return the ranges that no record declares yet."""
    return _ranges(db.execute(_UNDECLARED, (limit,)))


def all_ranges(db: sqlite3.Connection) -> list[LostRange]:
    """Return the ranges that the cloud has not counted, declared or not."""
    return _ranges(db.execute(_ALL))


def _ranges(rows: Iterable[tuple[str, str, int, int, str]]) -> list[LostRange]:
    return [LostRange(Lane(lane), stream, first, last, cause) for lane, stream, first, last, cause in rows]


def mark_declared(db: sqlite3.Connection, lost: Iterable[LostRange], first_seq: int) -> None:
    """Mark ranges as declared by the records of the findings lane from this number on."""
    numbered = enumerate(lost, start=first_seq)
    db.executemany(_DECLARE, [(seq, one.lane, one.stream, one.first_seq, one.last_seq) for seq, one in numbered])


def mark_undeclared(db: sqlite3.Connection, seq: int) -> None:
    """Mark the range that this record of the findings lane declared as undeclared: the record is lost."""
    db.execute(_UNDECLARE, (seq,))


def renumber_declarations(db: sqlite3.Connection, numbers: Iterable[tuple[int, int]]) -> None:
    """Change the numbers of the records that declare losses: (old, new)."""
    db.executemany(_RENUMBER, [(new, old) for old, new in numbers])


def remove_stream(db: sqlite3.Connection, lane: Lane, stream: str, above: int) -> list[tuple[int, str]]:
    """Delete a stream's losses; return how many numbers above one were lost, with the cause of each range."""
    rows = db.execute(_ABOVE, (lane, stream, above)).fetchall()
    db.execute(_DELETE_STREAM, (lane, stream))
    return [(last - max(first, above + 1) + 1, cause) for first, last, cause in rows]


def delete_counted(db: sqlite3.Connection, lane: Lane, stream: str, up_to: int) -> None:
    """Delete what the cloud has counted: it has the lane up to this number, and the losses that findings declare."""
    db.execute(_DELETE_COUNTED, (lane, stream, up_to))
    if lane is Lane.FINDINGS:
        db.execute(_DELETE_OLD_STREAMS, (up_to,))


def uncounted_streams(db: sqlite3.Connection) -> list[tuple[Lane, str, int]]:
    """Return lane, stream and last number of old streams whose loss the cloud has not counted yet."""
    return [(Lane(lane), stream, last) for lane, stream, last in db.execute(_UNCOUNTED)]


def missing(db: sqlite3.Connection, lane: Lane, stream: str, above: int, up_to: int) -> list[tuple[int, int]]:
    """Return the ranges of numbers in (`above`, `up_to`] that are neither stored nor in this table."""
    stored = db.execute("SELECT seq, seq FROM record WHERE lane = ? AND seq > ?", (lane, above))
    lost = db.execute("SELECT first_seq, last_seq FROM lost WHERE lane = ? AND stream = ?", (lane, stream))
    found = []
    for first, last in sorted([*stored, *lost, (up_to + 1, up_to + 1)]):
        if first > above + 1:
            found.append((above + 1, first - 1))
        above = max(above, last)
    return found


def to_ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Join consecutive numbers: [1, 2, 5] gives [(1, 2), (5, 5)]."""
    groups = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in groups]
    return [(run[0], run[-1]) for run in runs]
