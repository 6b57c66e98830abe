"""Lane table: the stream of each lane, and how far its numbers are reserved and acknowledged.

What flows in: numbers of a lane. What flows out: the numbers as the last run left them. Writes run in the caller's
transaction.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.outbox.sequence_file import HighWaterMark
from edge_agent.protocol.topics import Lane

_RESERVE = "UPDATE lane SET reserved_up_to = ? WHERE lane = ?"
_ACKNOWLEDGE = "UPDATE lane SET acked_up_to = ? WHERE lane = ? AND acked_up_to < ?"
_WITH_NEWEST = """
    SELECT lane, stream, reserved_up_to, acked_up_to,
        (SELECT coalesce(max(seq), 0) FROM record WHERE record.lane = lane.lane) FROM lane
"""


@dataclass(slots=True)
class LaneNumbers:
    """The numbers of one lane: 0 <= acked_up_to <= last_seq <= reserved_up_to."""

    stream: str
    last_seq: int  # the highest number given out
    reserved_up_to: int  # the highest number that may be given out before the next write
    acked_up_to: int


def load(db: sqlite3.Connection) -> dict[Lane, LaneNumbers]:
    """Return the numbers of each lane. Every reserved number may have been given out."""
    rows = db.execute("SELECT lane, stream, reserved_up_to, acked_up_to FROM lane").fetchall()
    return {Lane(lane): LaneNumbers(stream, reserved, reserved, acked) for lane, stream, reserved, acked in rows}


def reserve(db: sqlite3.Connection, lane: Lane, up_to: int) -> None:
    """Reserve the numbers of a lane up to this one."""
    db.execute(_RESERVE, (up_to, lane))


def acknowledge(db: sqlite3.Connection, lane: Lane, up_to: int) -> None:
    """Store how far the cloud has acknowledged a lane."""
    db.execute(_ACKNOWLEDGE, (up_to, lane, up_to))


def check(db: sqlite3.Connection, marks: Mapping[Lane, HighWaterMark]) -> None:
    """Raise sqlite3.DatabaseError where the rows contradict themselves, the records or the sequence file."""
    rows = db.execute(_WITH_NEWEST).fetchall()
    if {row[0] for row in rows} != set(Lane):
        raise sqlite3.DatabaseError(f"it has lanes {[row[0] for row in rows]}")
    for lane, stream, reserved, acked, newest in rows:
        mark = marks.get(Lane(lane))
        if not 0 <= acked <= reserved or newest > reserved:
            raise sqlite3.DatabaseError(f"{lane}: acknowledged up to {acked}, reserved up to {reserved} of {newest}")
        if mark and mark.stream != stream and reserved:
            raise sqlite3.DatabaseError(f"{lane}: its stream {stream!r} is not the one in the sequence file")
