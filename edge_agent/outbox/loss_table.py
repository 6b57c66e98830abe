"""Losses: numbers whose records will never come, kept until the cloud has counted them.

What flows in: numbers and the cause. What flows out: ranges that the agent declares, a record each; what lies side by
side for one cause is one range. Everything but the reading happens inside the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Loss
from edge_agent.protocol.topics import Lane

_LOSE = "INSERT OR REPLACE INTO lost (lane, stream, first_seq, last_seq, cause) VALUES (?, ?, ?, ?, ?)"
_BEFORE = "SELECT first_seq FROM lost WHERE lane = ? AND stream = ? AND last_seq = ? AND cause = ? AND NOT declared"
_UNDECLARED = "SELECT lane, stream, first_seq, last_seq, cause FROM lost WHERE NOT declared LIMIT ?"
_ALL = "SELECT lane, stream, first_seq, last_seq, cause FROM lost"
_DECLARED = "UPDATE lost SET declared = ? WHERE lane = ? AND stream = ? AND first_seq = ? AND last_seq = ?"
_UNSAID = "UPDATE lost SET declared = 0 WHERE declared = ?"
_COUNTED = "DELETE FROM lost WHERE lane = ? AND stream = ? AND declared AND last_seq <= ?"
_MOVED = "UPDATE lost SET declared = ? WHERE declared = ?"
_ABOVE = "SELECT first_seq, last_seq, cause FROM lost WHERE lane = ? AND stream = ? AND last_seq > ? ORDER BY first_seq"
_OWED = "SELECT lane, stream, last_seq FROM lost WHERE stream NOT IN (SELECT stream FROM lane) ORDER BY lane, stream"
_OF_STREAM = "DELETE FROM lost WHERE lane = ? AND stream = ?"
_OF_OLD_STREAMS = "DELETE FROM lost WHERE declared BETWEEN 1 AND ? AND stream NOT IN (SELECT stream FROM lane)"


@dataclass(frozen=True, slots=True)
class Gone:
    """Numbers of a stream whose records will never come, and the cause."""

    lane: Lane
    stream: str
    first_seq: int
    last_seq: int
    cause: str


def loss_of(gone: Gone, now: Instant) -> Loss:
    """Return the record that declares it."""
    return Loss(
        at=now, lane=gone.lane, stream=gone.stream, first_seq=gone.first_seq, last_seq=gone.last_seq, reason=gone.cause
    )


def note(db: sqlite3.Connection, lane: Lane, stream: str, ranges: Iterable[tuple[int, int]], cause: str) -> None:
    """Note ranges of numbers (both ends included; an empty one has its last below its first)."""
    for first, last in ranges:
        if first <= last:
            joined = db.execute(_BEFORE, (lane, stream, first - 1, cause)).fetchone()
            db.execute(_LOSE, (lane, stream, joined[0] if joined else first, last, cause))


def undeclared(db: sqlite3.Connection, limit: int) -> list[Gone]:
    """Return what the cloud has not been told of yet."""
    rows = db.execute(_UNDECLARED, (limit,)).fetchall()
    return [Gone(Lane(lane), stream, first, last, cause) for lane, stream, first, last, cause in rows]


def all_of(db: sqlite3.Connection) -> list[tuple[Lane, str, int, int, str]]:
    """Return lane, stream, first and last number and cause of all that the cloud has not counted, declared or not."""
    return [(Lane(lane), *rest) for lane, *rest in db.execute(_ALL)]


def declare(db: sqlite3.Connection, gone: Iterable[Gone], first_seq: int) -> None:
    """The records that tell the cloud of these are in the findings lane, from this number on."""
    numbered = enumerate(gone, start=first_seq)
    db.executemany(_DECLARED, [(seq, one.lane, one.stream, one.first_seq, one.last_seq) for seq, one in numbered])


def undeclare(db: sqlite3.Connection, seq: int) -> None:
    """The record of the findings lane with this number, which declared a loss, can't be read any more."""
    db.execute(_UNSAID, (seq,))


def moved(db: sqlite3.Connection, numbers: Iterable[tuple[int, int]]) -> None:
    """Records of the findings lane have other numbers now: (old, new)."""
    db.executemany(_MOVED, [(new, old) for old, new in numbers])


def take(db: sqlite3.Connection, lane: Lane, stream: str, above: int) -> list[tuple[int, str]]:
    """Forget a stream's losses; return how many numbers above one were lost, with the cause of each range."""
    rows = db.execute(_ABOVE, (lane, stream, above)).fetchall()
    db.execute(_OF_STREAM, (lane, stream))
    return [(last - max(first, above + 1) + 1, cause) for first, last, cause in rows]


def forget(db: sqlite3.Connection, lane: Lane, stream: str, up_to: int) -> None:
    """The cloud has all of a lane up to this number: what was declared of it, and, of findings, what they declare."""
    db.execute(_COUNTED, (lane, stream, up_to))
    if lane is Lane.FINDINGS:
        db.execute(_OF_OLD_STREAMS, (up_to,))


def owed(db: sqlite3.Connection) -> list[tuple[Lane, str, int]]:
    """Return lane, stream and last number of old streams whose loss the cloud has not counted yet."""
    return [(Lane(lane), stream, last) for lane, stream, last in db.execute(_OWED)]


def missing(db: sqlite3.Connection, lane: Lane, stream: str, above: int, up_to: int) -> list[tuple[int, int]]:
    """Return the ranges of numbers in (`above`, `up_to`] that are neither stored nor known to be gone."""
    here = db.execute("SELECT seq, seq FROM record WHERE lane = ? AND seq > ?", (lane, above))
    gone = db.execute("SELECT first_seq, last_seq FROM lost WHERE lane = ? AND stream = ?", (lane, stream))
    found = []
    for first, last in sorted([*here, *gone, (up_to + 1, up_to + 1)]):
        if first > above + 1:
            found.append((above + 1, first - 1))
        above = max(above, last)
    return found


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Join numbers that follow each other: [1, 2, 5] gives [(1, 2), (5, 5)]."""
    groups = groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0])
    runs = [[number for _, number in group] for _, group in groups]
    return [(run[0], run[-1]) for run in runs]
