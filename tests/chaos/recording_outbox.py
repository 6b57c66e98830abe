"""An outbox that logs, in a file elsewhere, each record that it has accepted.

What flows in: the records of an agent. What flows out: a log with a line for each record, written after the outbox has
accepted it: lane, stream, number, class, and the hash of its content.
"""

import hashlib
import json
import os
import sqlite3
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from edge_agent.outbox import Outbox
from edge_agent.outbox.database import is_transient
from edge_agent.outbox.loss_table import LostRange
from edge_agent.outbox.memory_fallback import MemoryFallback
from edge_agent.outbox.quota import Quota
from edge_agent.outbox.schema import kind_of
from edge_agent.protocol.topics import Lane


class RecordingOutbox(Outbox):
    """An outbox that appends to a log what it has accepted."""

    def __init__(self, path: Path, accepted_log: Path, quota: Quota | None = None) -> None:
        super().__init__(path, quota)
        self._accepted_log = os.open(accepted_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def put(
        self,
        records: Iterable[bytes],
        open_findings: Mapping[str, bytes | None] | None = None,
        *,
        dropped: Mapping[Lane, int] | None = None,
        declared: Iterable[LostRange] = (),
    ) -> None:
        """Commit, then log."""
        listed = list(records)
        super().put(listed, open_findings, dropped=dropped, declared=declared)
        last = self.last_seq(Lane.FINDINGS)
        for seq, body in enumerate(listed, start=last - len(listed) + 1):
            self._log(Lane.FINDINGS, seq, body, canonical(json.loads(body)))

    def buffer(self, record: bytes) -> None:
        """Buffer, then log."""
        super().buffer(record)
        self._log(Lane.TELEMETRY, self.last_seq(Lane.TELEMETRY), record, record)

    def migrate_from(self, other: Outbox, known_open: Iterable[str] | None) -> None:
        """Commit the records from memory, then log them."""
        above = {lane: self.last_seq(lane) for lane in Lane}
        super().migrate_from(other, known_open)
        for lane in Lane:
            for seq, body in self.after(lane, above[lane], 2**31):
                self._log(lane, seq, body, body if lane is Lane.TELEMETRY else canonical(json.loads(body)))

    def _log(self, lane: Lane, seq: int, body: bytes, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        line = json.dumps([lane, self.stream(lane), seq, kind_of(lane, body), digest])
        os.write(self._accepted_log, f"{line}\n".encode())


class RecordingMemoryFallback(MemoryFallback):
    """An outbox in memory: its records count as accepted once they are on disk."""

    def __init__(self, path: Path, accepted_log: Path) -> None:
        super().__init__(path, Quota())
        self._path, self._accepted_log = path, accepted_log

    def _open_store(self) -> Outbox:
        return RecordingOutbox(self._path, self._accepted_log)


def open_outbox(path: Path, accepted_log: Path) -> Outbox:
    """Open it as the agent's command line does."""
    try:
        return RecordingOutbox(path, accepted_log)
    except (OSError, sqlite3.OperationalError) as error:
        if not is_transient(error):
            raise
        print(f"the outbox is in memory, because the disk can't be written: {error}", file=sys.stderr, flush=True)
        return RecordingMemoryFallback(path, accepted_log)


def canonical(record: object) -> bytes:
    """Return a record of JSON so that equal ones are equal bytes."""
    return json.dumps(record, sort_keys=True).encode()
