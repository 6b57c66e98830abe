"""Pending records: those that the cloud has not acknowledged, from the store and from the write buffer behind it.

What flows in: a lane and a number. What flows out: the next records in order. A record that is damaged, or that cannot
be delivered, is quarantined and its number added to the losses.
"""

from collections.abc import Callable

from edge_agent.outbox import loss_table, record_table
from edge_agent.outbox.database import Store
from edge_agent.outbox.loss_table import RECORD_UNREADABLE
from edge_agent.outbox.numbering import Numbering
from edge_agent.outbox.record_table import StoredRecord
from edge_agent.outbox.schema import Kind, kind_of
from edge_agent.outbox.write_buffer import WriteBuffer
from edge_agent.protocol.topics import Lane

ALL = 2**31  # as a limit


class PendingRecords:
    """Reads the records of one store and its write buffer; the newer ones of telemetry are in the buffer."""

    def __init__(self, store: Store, buffer: WriteBuffer, numbers: Numbering) -> None:
        self._store, self._buffer, self._numbers = store, buffer, numbers

    def after(self, lane: Lane, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the next records of a lane above `seq`, at most `limit`, in order."""
        stored = record_table.after(self._store.db, lane, seq, limit)
        found = self._intact(lane, stored)
        if lane is Lane.TELEMETRY and len(stored) < limit:
            found += self._buffer.above(seq)[: limit - len(stored)]
        return found

    def losses_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the next records above `seq` that declare losses, at most `limit`, in order."""
        return self._intact(Lane.FINDINGS, record_table.losses_after(self._store.db, seq, limit))

    def _intact(self, lane: Lane, stored: list[StoredRecord]) -> list[tuple[int, bytes]]:
        """Return the intact records; quarantine the others."""
        for one in stored:
            if not one.intact:
                self._quarantine(lane, one.seq, RECORD_UNREADABLE, one.body)
        return [(one.seq, one.body) for one in stored if one.intact]

    def quarantine(self, lane: Lane, seq: int, cause: str) -> bool:
        """Quarantine a record; return False for a record that declares a loss, which is never quarantined."""
        body = record_table.body_of(self._store.db, lane, seq)
        if body is None and lane is Lane.TELEMETRY:
            body = self._buffer.records.get(seq)
        if body is not None and kind_of(lane, body) is Kind.LOSS:
            return False
        if body is not None:
            self._quarantine(lane, seq, cause, body)
        return True

    def _quarantine(self, lane: Lane, seq: int, cause: str, body: bytes) -> None:
        with self._store.transaction() as db:
            record_table.quarantine(db, lane, seq, cause, body)
            loss_table.add(db, lane, self._numbers[lane].stream, [(seq, seq)], cause)
            if lane is Lane.FINDINGS:
                loss_table.mark_undeclared(db, seq)
        if lane is Lane.TELEMETRY:
            self._buffer.remove(seq)

    def rewrite(self, lane: Lane, above: int, change: Callable[[bytes], bytes | None]) -> int:
        """Replace records above a number by what `change` returns, None for unchanged; return how many changed."""
        stored = self._intact(lane, record_table.after(self._store.db, lane, above, ALL))
        changed = [(seq, new) for seq, body in stored if (new := change(body)) is not None]
        if changed:
            with self._store.transaction() as db:
                record_table.replace(db, lane, changed)
        buffered = [] if lane is Lane.FINDINGS else self._buffer.above(above)
        changed_buffered = {seq: new for seq, body in buffered if (new := change(body)) is not None}
        self._buffer.replace(changed_buffered)
        return len(changed) + len(changed_buffered)
