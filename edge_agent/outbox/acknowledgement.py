"""Acknowledgement: what the store does once the cloud has a lane up to a number.

What flows in: the numbers of a lane. What flows out: nothing, or the last number given out after renumbering.
Everything runs in the caller's transaction.
"""

import logging
import sqlite3

from edge_agent.outbox import lane_table, loss_table, record_table
from edge_agent.outbox.lane_table import LaneNumbers
from edge_agent.outbox.loss_table import STORE_UNWRITABLE
from edge_agent.protocol.topics import Lane

log = logging.getLogger(__name__)

LAST_SEQ = 2**40  # no device has had so many records: an acknowledgement of a higher number is wrong


def check_possible(lane: Lane, up_to: int) -> None:
    """Raise ValueError for a number that no device can have reached."""
    if up_to > LAST_SEQ:
        raise ValueError(f"{lane}: acknowledged up to {up_to}, which no device can have reached")


def delete_acknowledged(db: sqlite3.Connection, lane: Lane, numbers: LaneNumbers) -> None:
    """Delete the records and the counted losses up to the acknowledged number."""
    lane_table.acknowledge(db, lane, numbers.acked_up_to)
    record_table.delete_up_to(db, lane, numbers.acked_up_to)
    loss_table.delete_counted(db, lane, numbers.stream, numbers.acked_up_to)


def renumber(
    db: sqlite3.Connection,
    lane: Lane,
    numbers: LaneNumbers,
    up_to: int,
    *,
    pending: list[tuple[int, bytes]],
    dropped: int,
) -> int:
    """Give the losses and `pending` records of a lane numbers above `up_to`; return the last one given out.

    The cloud has acknowledged numbers that this store has never given out: the store is an old copy. With its old
    numbers the cloud would take a record for one that it has already, and would not miss a loss. `dropped` counts the
    telemetry records dropped from the write buffer.
    """
    log.warning("%s: acknowledged up to %d, given out up to %d: an old copy", lane, up_to, numbers.last_seq)
    last_seq = up_to
    record_table.clear(db, lane)
    lost = loss_table.remove_stream(db, lane, numbers.stream, numbers.acked_up_to)
    for count, cause in [*lost, (dropped, STORE_UNWRITABLE)]:
        loss_table.add(db, lane, numbers.stream, [(last_seq + 1, last_seq + count)], cause)
        last_seq += count
    renumbered = list(enumerate(pending, start=last_seq + 1))
    record_table.put(db, lane, ((new, body) for new, (_, body) in renumbered))
    if lane is Lane.FINDINGS:
        loss_table.renumber_declarations(db, ((old, new) for new, (old, _) in renumbered))
    last_seq += len(pending)
    lane_table.reserve(db, lane, last_seq)
    lane_table.acknowledge(db, lane, up_to)
    return last_seq
