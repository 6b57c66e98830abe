"""Record table: the records of the store by lane and number, and the quarantined ones.

What flows in: numbered records. What flows out: the next ones, each with whether its checksum is right. Writes run in
the caller's transaction.
"""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from edge_agent.outbox.schema import checksum, kind_of
from edge_agent.protocol.topics import Lane

MAX_QUARANTINED = 16  # records kept for a person to look at

_PUT = "INSERT INTO record (lane, seq, body, kind, checksum) VALUES (?, ?, ?, ?, ?)"
_NEXT = "SELECT seq, body, checksum FROM record WHERE lane = ? AND seq > ? ORDER BY seq LIMIT ?"
_LOSSES = "SELECT seq, body, checksum FROM record WHERE kind = 'loss' AND seq > ? ORDER BY seq LIMIT ?"
_ONE = "SELECT body FROM record WHERE lane = ? AND seq = ?"
_ANY = "SELECT 1 FROM record WHERE lane = ? AND seq <= ? LIMIT 1"
_DELETE = "DELETE FROM record WHERE lane = ? AND seq = ?"
_DELETE_UP_TO = "DELETE FROM record WHERE lane = ? AND seq <= ?"
_CLEAR = "DELETE FROM record WHERE lane = ?"
_QUARANTINE = "INSERT OR REPLACE INTO quarantine (lane, seq, cause, body) VALUES (?, ?, ?, ?)"
_PRUNE = "DELETE FROM quarantine WHERE rowid NOT IN (SELECT rowid FROM quarantine ORDER BY rowid DESC LIMIT ?)"


class StoredRecord(NamedTuple):
    """A record of the store; `intact` is whether its checksum is right."""

    seq: int
    body: bytes
    intact: bool


def put(db: sqlite3.Connection, lane: Lane, numbered: Iterable[tuple[int, bytes]]) -> None:
    """Store records under their numbers."""
    db.executemany(_PUT, [(lane, seq, body, kind_of(lane, body), checksum(seq, body)) for seq, body in numbered])


def after(db: sqlite3.Connection, lane: Lane, seq: int, limit: int) -> list[StoredRecord]:
    """Return the next records of a lane above a number, in order."""
    return _stored(db.execute(_NEXT, (lane, seq, limit)))


def losses_after(db: sqlite3.Connection, seq: int, limit: int) -> list[StoredRecord]:
    """Return the next records above a number that declare losses, in order."""
    return _stored(db.execute(_LOSSES, (seq, limit)))


def _stored(rows: Iterable[tuple[int, bytes, int]]) -> list[StoredRecord]:
    return [StoredRecord(seq, body, checksum(seq, body) == crc) for seq, body, crc in rows]


def body_of(db: sqlite3.Connection, lane: Lane, seq: int) -> bytes | None:
    """Return the body of a record, None where there is none."""
    row = db.execute(_ONE, (lane, seq)).fetchone()
    return row[0] if row else None


def any_up_to(db: sqlite3.Connection, lane: Lane, up_to: int) -> bool:
    """Whether there is any record up to this number."""
    return db.execute(_ANY, (lane, up_to)).fetchone() is not None


def replace(db: sqlite3.Connection, lane: Lane, numbered: list[tuple[int, bytes]]) -> None:
    """Replace the bodies of records."""
    db.executemany(_DELETE, [(lane, seq) for seq, _ in numbered])
    put(db, lane, numbered)


def delete_up_to(db: sqlite3.Connection, lane: Lane, up_to: int) -> None:
    """Delete all records up to this number."""
    db.execute(_DELETE_UP_TO, (lane, up_to))


def clear(db: sqlite3.Connection, lane: Lane) -> None:
    """Delete all records of a lane."""
    db.execute(_CLEAR, (lane,))


def quarantine(db: sqlite3.Connection, lane: Lane, seq: int, cause: str, body: bytes) -> None:
    """Move a record to the quarantine, and delete the oldest entries there above MAX_QUARANTINED."""
    db.execute(_QUARANTINE, (lane, seq, cause, body))
    db.execute(_PRUNE, (MAX_QUARANTINED,))
    db.execute(_DELETE, (lane, seq))


def quarantined(db: sqlite3.Connection) -> list[tuple[Lane, int, str]]:
    """Return lane, number and cause of the quarantined records, oldest first."""
    rows = db.execute("SELECT lane, seq, cause FROM quarantine ORDER BY rowid")
    return [(Lane(lane), seq, cause) for lane, seq, cause in rows]
