"""The outbox: durable store-and-forward. A record is deleted only when the cloud has acknowledged it as committed.

What flows in: encoded records. What flows out: the next records of a lane, again and again until acknowledged, and the
ranges of lost numbers, which the agent declares. Findings are on disk before `put` returns. Telemetry stays in a write
buffer until it is due (`flush_if_due`) or the agent stops. Numbers are reserved ahead, and a sequence file beside the
store has their high-water marks too: no number is ever used for two records.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edge_agent.outbox import (
    acknowledgement,
    lane_table,
    loss_table,
    migration,
    record_table,
    sequence_file,
    state_table,
)
from edge_agent.outbox.database import Store
from edge_agent.outbox.loss_table import STORE_UNWRITABLE, LostRange
from edge_agent.outbox.migration import MIGRATED, Snapshot
from edge_agent.outbox.numbering import Numbering
from edge_agent.outbox.pending_records import ALL, PendingRecords
from edge_agent.outbox.quota import Quota, free_space
from edge_agent.outbox.write_buffer import WriteBuffer
from edge_agent.protocol.topics import Lane

RESERVE = 256  # telemetry numbers reserved ahead with one write, unless the agent knows how fast they are used


class Outbox:
    """One store and its sequence file. Not shared between processes; used by one thread."""

    def __init__(self, path: Path | None, quota: Quota | None = None) -> None:
        """Open or create the store. A damaged one is set aside under a dated name; `damage` has its name and the cause.

        None keeps everything in memory. Raises StoreInUseError when another process has it, OSError or
        sqlite3.OperationalError when it can't be opened now: no permission, disk full.
        """
        self._quota = quota or Quota()
        self._numbers = Numbering(path.with_name(path.name + sequence_file.SUFFIX) if path else None)
        try:
            self._store = Store(path, self._numbers.check)
        except BaseException:
            self._numbers.close()
            raise
        try:
            self.damage = self._store.damage  # what was set aside in this run
            self._start()
        except BaseException:
            self.release()
            raise

    def _start(self) -> None:
        """Continue with the store as it is on disk, and an empty write buffer."""
        self._buffer = WriteBuffer()
        self._pending = PendingRecords(self._store, self._buffer, self._numbers)
        self._numbers.recover(self._store)

    def stream(self, lane: Lane) -> str:
        """Return the lane's stream id, created with the store."""
        return self._numbers[lane].stream

    def base_seq(self, lane: Lane) -> int:
        """Return the lowest number that the cloud has not acknowledged."""
        return self._numbers[lane].acked_up_to + 1

    def last_seq(self, lane: Lane) -> int:
        """Return the highest number that was given out."""
        return self._numbers[lane].last_seq

    def last_seq_at_start(self, lane: Lane) -> int:
        """Return the highest number that was given out before this run."""
        return self._numbers.last_seq_at_start[lane]

    def waiting(self, lane: Lane) -> int:
        """Return how many numbers of a lane are given out and not acknowledged."""
        return self._numbers[lane].last_seq - self._numbers[lane].acked_up_to

    def put(
        self,
        records: Iterable[bytes],
        open_findings: Mapping[str, bytes | None] | None = None,
        *,
        dropped: Mapping[Lane, int] | None = None,
        declared: Iterable[LostRange] = (),
    ) -> None:
        """Commit findings-lane records; on return they survive a power cut.

        The same transaction stores `open_findings` (the body of each finding that is open, None for one that has
        cleared), how many records of each lane the agent has `dropped` before they got here (each gets a number, so
        that the cloud misses it), and the losses that the last of `records` declare, in their order.
        """
        bodies, losses, skipped = list(records), list(declared), dict.fromkeys(Lane, 0) | dict(dropped or {})
        free_space(self._store, self._quota, sum(map(len, bodies)), self._numbers)
        last_seq = {lane: numbers.last_seq + skipped[lane] for lane, numbers in self._numbers.items()}
        with self._store.transaction() as db:
            state_table.set_open_findings(db, open_findings or {})
            for lane, numbers in self._numbers.items():
                loss_table.add(db, lane, numbers.stream, [(numbers.last_seq + 1, last_seq[lane])], STORE_UNWRITABLE)
            record_table.put(db, Lane.FINDINGS, enumerate(bodies, start=last_seq[Lane.FINDINGS] + 1))
            last_seq[Lane.FINDINGS] += len(bodies)
            loss_table.mark_declared(db, losses, last_seq[Lane.FINDINGS] - len(losses) + 1)
            self._numbers.reserve(db, last_seq)
        self._numbers.advance(last_seq)
        if bodies or any(skipped.values()):
            self._numbers.write_marks(self._store.db)

    def undeclared(self, limit: int = 64) -> list[LostRange]:
        """Return lost numbers that no record declares yet."""
        return loss_table.undeclared(self._store.db, limit)

    def open_findings(self) -> dict[str, bytes]:
        """Return the findings that are open, by id."""
        return state_table.open_findings(self._store.db)

    def save_learned_state(self, name: str, body: bytes) -> None:
        """Store the learned state of the detectors under a name, in place of the earlier one."""
        with self._store.transaction() as db:
            state_table.save_learned_state(db, {name: body})

    def learned_state(self, name: str) -> bytes | None:
        """Return what was last stored under a name."""
        return state_table.learned_state(self._store.db).get(name)

    def reserve_next(self, ahead: int = RESERVE) -> None:
        """Reserve the number of the next telemetry record on disk, so that its loss is noticed.

        `ahead` is how many are reserved at once: few writes against many numbers that a crash may declare needlessly.
        """
        numbers = self._numbers[Lane.TELEMETRY]
        if numbers.last_seq < numbers.reserved_up_to:
            return
        with self._store.transaction() as db:
            lane_table.reserve(db, Lane.TELEMETRY, numbers.last_seq + ahead)
            acknowledgement.delete_acknowledged(db, Lane.TELEMETRY, numbers)
        numbers.reserved_up_to = numbers.last_seq + ahead
        self._numbers.write_marks(self._store.db)

    def buffer(self, record: bytes) -> None:
        """Add a telemetry record to the write buffer under its own number; a full buffer is written to disk.

        Where that fails the oldest records of the buffer are dropped.
        """
        self.reserve_next()
        numbers = self._numbers[Lane.TELEMETRY]
        numbers.last_seq += 1
        self._buffer.add(numbers.last_seq, record)
        if self._buffer.is_full:
            try:
                self.flush()
            except sqlite3.OperationalError:
                self._buffer.drop_oldest()

    def flush(self) -> None:
        """Write the write buffer to disk; on return its records survive a power cut."""
        if not self._buffer.records and not self._buffer.dropped:
            return
        free_space(self._store, self._quota, self._buffer.size, self._numbers)
        numbers = self._numbers[Lane.TELEMETRY]
        with self._store.transaction() as db:
            record_table.put(db, Lane.TELEMETRY, self._buffer.records.items())
            dropped = loss_table.to_ranges(self._buffer.dropped)
            loss_table.add(db, Lane.TELEMETRY, numbers.stream, dropped, STORE_UNWRITABLE)
            acknowledgement.delete_acknowledged(db, Lane.TELEMETRY, numbers)
        self._buffer.mark_written()

    def flush_if_due(self, now_s: float, *, connected: bool) -> None:
        """Write the write buffer to disk once when a link stays down, and then at the configured interval.

        `now_s` is any clock that does not step. While the link is up and the cloud acknowledges, nothing is written.
        """
        if self._buffer.is_due(now_s, self._quota.flush_every_s, connected=connected):
            self.flush()

    def after(self, lane: Lane, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the next records of a lane above `seq`, at most `limit`, in order."""
        return self._pending.after(lane, seq, limit)

    def losses_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the next records that declare losses: they close gaps, so they do not wait for earlier records."""
        return self._pending.losses_after(seq, limit)

    def quarantine(self, lane: Lane, seq: int, cause: str) -> bool:
        """Quarantine a record for a person to look at, and add its number to the losses.

        Return whether it no longer blocks its lane: a record that declares a loss has to arrive, and never is.
        """
        return self._pending.quarantine(lane, seq, cause)

    def quarantined(self) -> list[tuple[Lane, int, str]]:
        """Return lane, number and cause of the quarantined records, oldest first."""
        return record_table.quarantined(self._store.db)

    def rewrite(self, lane: Lane, above: int, change: Callable[[bytes], bytes | None]) -> int:
        """Replace records above a number by what `change` returns, None for unchanged; return how many changed.

        They must never have left the device.
        """
        return self._pending.rewrite(lane, above, change)

    def acknowledge(self, lane: Lane, stream: str, up_to: int) -> int:
        """Delete what the cloud has committed; return how many numbers were new. Foreign streams are ignored.

        Raises ValueError for a number that no device can have reached.
        """
        numbers = self._numbers[lane]
        if stream != numbers.stream or up_to <= numbers.acked_up_to:
            return 0
        if up_to > numbers.last_seq:
            return self._renumber(lane, up_to)
        newly = up_to - numbers.acked_up_to
        numbers.acked_up_to = up_to
        if lane is Lane.TELEMETRY:
            self._buffer.remove_up_to(up_to)
        if lane is Lane.FINDINGS or record_table.any_up_to(self._store.db, lane, up_to):
            with self._store.transaction() as db:
                acknowledgement.delete_acknowledged(db, lane, numbers)
            self._store.shrink()
            if self._numbers.has_uncounted_streams:  # the cloud may have counted one now
                self._numbers.write_marks(self._store.db)
        return newly

    def _renumber(self, lane: Lane, up_to: int) -> int:
        """The cloud has numbers that were never given out here: continue above them."""
        numbers = self._numbers[lane]
        acknowledgement.check_possible(lane, up_to)
        pending = self.after(lane, numbers.acked_up_to, ALL)
        dropped = len(self._buffer.dropped) if lane is Lane.TELEMETRY else 0
        with self._store.transaction() as db:
            last_seq = acknowledgement.renumber(db, lane, numbers, up_to, pending=pending, dropped=dropped)
        if lane is Lane.TELEMETRY:
            self._buffer.mark_written()
        newly, numbers.acked_up_to = up_to - numbers.acked_up_to, up_to
        numbers.last_seq = numbers.reserved_up_to = last_seq
        self._numbers.write_marks(self._store.db)
        return newly

    def start_new_store(self, reason: str) -> None:
        """Set the store aside, which was found damaged while it was open, and continue with a new one."""
        self._numbers.retire_streams()
        self._store.start_new(reason)
        self.damage = self._store.damage
        self._start()

    def snapshot(self) -> Snapshot:
        """Return all that the outbox holds, to be migrated into another one."""
        return migration.snapshot(self._store.db, self._numbers, self._buffer.dropped, self._pending)

    def migrate_from(self, other: "Outbox", known_open: Iterable[str] | None) -> None:
        """Add all that another outbox holds, in one transaction. Its records get numbers of this one: none may be sent.

        `known_open` are the findings open here when the other was created, None where it could not read them.
        """
        snapshot = other.snapshot()
        snapshot = snapshot.above(migration.migrated_up_to(self.learned_state(MIGRATED), snapshot.stream))
        free_space(self._store, self._quota, snapshot.record_bytes, self._numbers)
        with self._store.transaction() as db:
            last_seq = migration.insert(db, self._numbers, snapshot, known_open)
        self._numbers.advance(last_seq)
        self._numbers.write_marks(self._store.db)

    def close(self) -> None:
        """Write the write buffer to disk and free the unused numbers: the next start finds nothing missing."""
        numbers = self._numbers[Lane.TELEMETRY]
        try:
            self.flush()
            with self._store.transaction() as db:
                lane_table.reserve(db, Lane.TELEMETRY, numbers.last_seq)
                acknowledgement.delete_acknowledged(db, Lane.TELEMETRY, numbers)
            numbers.reserved_up_to = numbers.last_seq
            self._numbers.write_marks(self._store.db)
        finally:
            self.release()

    def release(self) -> None:
        """Close the files without writing anything."""
        self._numbers.close()
        self._store.close()
