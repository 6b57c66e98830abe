"""Numbering: which numbers each lane has given out, in memory, in the lane table and in the sequence file.

What flows in: the store at start, and the numbers given out since. What flows out: the stream and the numbers of each
lane, and at start the losses: numbers that may be in use and have no record.
"""

import sqlite3
from collections.abc import ItemsView, Mapping
from pathlib import Path

from edge_agent.outbox import lane_table, loss_table
from edge_agent.outbox.database import Store
from edge_agent.outbox.lane_table import LaneNumbers
from edge_agent.outbox.loss_table import STORE_DAMAGED, STORE_FELL_BACK, UNCLEAN_STOP
from edge_agent.outbox.sequence_file import HighWaterMark, HighWaterMarks, SequenceFile
from edge_agent.protocol.topics import Lane


class Numbering:
    """The numbers of the lanes of one store. A number that may have reached the cloud is never given out again."""

    def __init__(self, path: Path | None) -> None:
        """`path` is of the sequence file, None for an outbox in memory; it is opened by `check`."""
        self._path = path
        self._file: SequenceFile | None = None
        self._marks = HighWaterMarks()
        self._lanes: dict[Lane, LaneNumbers] = {}
        self.last_seq_at_start: dict[Lane, int] = {}

    def check(self, db: sqlite3.Connection) -> None:
        """Raise sqlite3.DatabaseError where the lanes of the store contradict themselves or the sequence file.

        Called once the store is locked: two agents must not write one sequence file.
        """
        if self._file is None:
            self._file = SequenceFile(self._path)
            self._marks = self._file.read()
        lane_table.check(db, self._marks.lanes)

    def recover(self, store: Store) -> None:
        """Load the numbers of a store that was just opened, and add to its losses what the last run left."""
        self._lanes = lane_table.load(store.db)
        with store.transaction() as db:
            self._add_lost_streams(db)
            for lane, numbers in self._lanes.items():
                self._add_missing(db, lane, numbers)
        self.last_seq_at_start = {lane: numbers.last_seq for lane, numbers in self._lanes.items()}
        self.write_marks(store.db)

    def _add_lost_streams(self, db: sqlite3.Connection) -> None:
        """Add the streams of stores that were damaged earlier, where this store does not have them."""
        known = {(lane, stream) for lane, stream, _ in loss_table.uncounted_streams(db)}
        for lane, mark in self._marks.uncounted:
            if (lane, mark.stream) not in known:
                loss_table.add(db, lane, mark.stream, [(1, mark.up_to)], STORE_DAMAGED)

    def _add_missing(self, db: sqlite3.Connection, lane: Lane, numbers: LaneNumbers) -> None:
        """Add the numbers of a lane that may be in use, by the store or the sequence file, and have no record."""
        mark = self._marks.lanes.get(lane, HighWaterMark(numbers.stream, 0))
        if mark.stream != numbers.stream:
            loss_table.add(db, lane, mark.stream, [(1, mark.up_to)], STORE_DAMAGED)
        elif mark.up_to > numbers.last_seq:  # the store has lost its last commits
            numbers.last_seq = numbers.reserved_up_to = mark.up_to
            lane_table.reserve(db, lane, mark.up_to)
        missing = loss_table.missing(db, lane, numbers.stream, numbers.acked_up_to, numbers.last_seq)
        cause = UNCLEAN_STOP if lane is Lane.TELEMETRY else STORE_FELL_BACK
        loss_table.add(db, lane, numbers.stream, missing, cause)

    def __getitem__(self, lane: Lane) -> LaneNumbers:
        return self._lanes[lane]

    def items(self) -> ItemsView[Lane, LaneNumbers]:
        """Return each lane with its numbers."""
        return self._lanes.items()

    @property
    def has_uncounted_streams(self) -> bool:
        """Whether the cloud has yet to count the loss of an old stream."""
        return bool(self._marks.uncounted)

    def reserve(self, db: sqlite3.Connection, last_seq: Mapping[Lane, int]) -> None:
        """Store that the lanes have given out these numbers, in the caller's transaction."""
        for lane, numbers in self._lanes.items():
            lane_table.reserve(db, lane, max(last_seq[lane], numbers.reserved_up_to))

    def advance(self, last_seq: Mapping[Lane, int]) -> None:
        """The lanes have given out these numbers, and the transaction that stored it has ended."""
        for lane, numbers in self._lanes.items():
            numbers.last_seq = last_seq[lane]
            numbers.reserved_up_to = max(last_seq[lane], numbers.reserved_up_to)

    def write_marks(self, db: sqlite3.Connection) -> None:
        """Write the sequence file: after the commit, and before a record with a new number can leave."""
        uncounted = tuple(
            (lane, HighWaterMark(stream, last)) for lane, stream, last in loss_table.uncounted_streams(db)
        )
        in_use = {lane: HighWaterMark(one.stream, one.reserved_up_to) for lane, one in self._lanes.items()}
        self._marks = HighWaterMarks(in_use, uncounted)
        if self._file is not None:
            self._file.write(self._marks)

    def retire_streams(self) -> None:
        """The store is damaged: its streams end, and `recover` adds them to the losses of the new store."""
        in_use = {lane: HighWaterMark(one.stream, one.last_seq) for lane, one in self._lanes.items()}
        self._marks = HighWaterMarks(in_use, self._marks.uncounted)

    def close(self) -> None:
        """Close the sequence file."""
        if self._file is not None:
            self._file.close()
