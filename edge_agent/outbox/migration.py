"""Migration: everything that one outbox holds moves into the store of another one, in one transaction.

What flows in: a snapshot of the outbox in memory. What flows out: its records under new numbers of the store, its
losses, its open findings and its learned state.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from edge_agent.outbox import loss_table, record_table, state_table
from edge_agent.outbox.loss_table import STORE_UNWRITABLE, LostRange
from edge_agent.outbox.numbering import Numbering
from edge_agent.outbox.pending_records import ALL, PendingRecords
from edge_agent.outbox.schema import Kind, kind_of
from edge_agent.protocol.topics import Lane

MIGRATED = "moved from"  # learned state under this name says which outbox was migrated, and up to which numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that an outbox holds."""

    stream: str  # of the findings lane
    last_seq: Mapping[Lane, int]
    records: Mapping[Lane, list[tuple[int, bytes]]]  # pending, by number
    lost: list[LostRange]
    open_findings: dict[str, bytes]
    learned_state: dict[str, bytes]

    def above(self, migrated: Mapping[Lane, int]) -> "Snapshot":
        """Return it without the records that were migrated, or that declare losses of its own streams."""
        return replace(
            self,
            records={
                lane: [(seq, body) for seq, body in numbered if seq > migrated[lane] and not _is_loss(lane, body)]
                for lane, numbered in self.records.items()
            },
        )

    @property
    def record_bytes(self) -> int:
        """Bytes of its records."""
        return sum(len(body) for numbered in self.records.values() for _, body in numbered)


def snapshot(db: sqlite3.Connection, numbers: Numbering, dropped: Iterable[int], pending: PendingRecords) -> Snapshot:
    """Return all that an outbox holds; `dropped` are telemetry numbers that are not in its loss table yet."""
    records = {lane: pending.after(lane, one.acked_up_to, ALL) for lane, one in numbers.items()}
    stream, unwritten = numbers[Lane.TELEMETRY].stream, loss_table.to_ranges(dropped)
    lost = [LostRange(Lane.TELEMETRY, stream, first, last, STORE_UNWRITABLE) for first, last in unwritten]
    return Snapshot(
        stream=numbers[Lane.FINDINGS].stream,
        last_seq={lane: one.last_seq for lane, one in numbers.items()},
        records=records,
        lost=lost + loss_table.all_ranges(db),
        open_findings=state_table.open_findings(db),
        learned_state=state_table.learned_state(db),
    )


def _is_loss(lane: Lane, body: bytes) -> bool:
    return kind_of(lane, body) is Kind.LOSS


def migrated_up_to(marker: bytes | None, stream: str) -> dict[Lane, int]:
    """Return up to which numbers an outbox was migrated: a transaction may fail after it has reached the disk.

    `marker` is the learned state named MIGRATED of the store, `stream` the findings stream of the outbox.
    """
    migrated, *up_to = json.loads(marker or b'[""]')
    return dict(zip(Lane, up_to, strict=True)) if migrated == stream else dict.fromkeys(Lane, 0)


def insert(
    db: sqlite3.Connection, numbers: Numbering, source: Snapshot, known_open: Iterable[str] | None
) -> dict[Lane, int]:
    """Insert a snapshot in the caller's transaction; return the last number of each lane.

    `known_open` are the findings that were open in the store when the source was created; the snapshot says
    which of them still are. None where it could not read the store: then the learned state of the store is kept.
    """
    marker = json.dumps([source.stream, *(source.last_seq[lane] for lane in Lane)]).encode()
    state_table.save_learned_state(db, source.learned_state, replace=known_open is not None)
    state_table.save_learned_state(db, {MIGRATED: marker})  # the snapshot may hold one of an earlier migration
    state_table.set_open_findings(db, dict.fromkeys(known_open or ()) | source.open_findings)
    for lane, lane_numbers in numbers.items():
        bodies = (body for _, body in source.records[lane])
        record_table.put(db, lane, enumerate(bodies, start=lane_numbers.last_seq + 1))
    for one in source.lost:
        loss_table.add(db, one.lane, one.stream, [(one.first_seq, one.last_seq)], one.cause)
    last_seq = {lane: one.last_seq + len(source.records[lane]) for lane, one in numbers.items()}
    numbers.reserve(db, last_seq)
    return last_seq
