"""The witness: an outbox that writes down elsewhere what it has accepted.

What flows in: what an agent gives to its outbox. What flows out: a ledger, a line for each record after the outbox has
taken it: lane, stream, number, class, and the hash of its content.
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


class WitnessedOutbox(Outbox):
    """An outbox that is watched. The ledger is appended to."""

    def __init__(self, path: Path, ledger: Path, quota: Quota | None = None) -> None:
        super().__init__(path, quota)
        self._witness = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def put(
        self,
        records: Iterable[bytes],
        open_findings: Mapping[str, bytes | None] | None = None,
        *,
        dropped: Mapping[Lane, int] | None = None,
        declared: Iterable[LostRange] = (),
    ) -> None:
        """Commit, then write down."""
        listed = list(records)
        super().put(listed, open_findings, dropped=dropped, declared=declared)
        last = self.last_seq(Lane.FINDINGS)
        for seq, body in enumerate(listed, start=last - len(listed) + 1):
            self._write(Lane.FINDINGS, seq, body, canonical(json.loads(body)))

    def buffer(self, record: bytes) -> None:
        """Take into memory, then write down."""
        super().buffer(record)
        self._write(Lane.TELEMETRY, self.last_seq(Lane.TELEMETRY), record, record)

    def migrate_from(self, other: Outbox, known_open: Iterable[str] | None) -> None:
        """Commit the records from memory, then write down."""
        above = {lane: self.last_seq(lane) for lane in Lane}
        super().migrate_from(other, known_open)
        for lane in Lane:
            for seq, body in self.after(lane, above[lane], 2**31):
                self._write(lane, seq, body, body if lane is Lane.TELEMETRY else canonical(json.loads(body)))

    def _write(self, lane: Lane, seq: int, body: bytes, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        line = json.dumps([lane, self.stream(lane), seq, kind_of(lane, body), digest])
        os.write(self._witness, f"{line}\n".encode())


class WitnessedMemoryFallback(MemoryFallback):
    """An outbox in memory: its records count as accepted once they are on disk."""

    def __init__(self, path: Path, ledger: Path) -> None:
        super().__init__(path, Quota())
        self._path, self._written_to = path, ledger

    def _open_store(self) -> Outbox:
        return WitnessedOutbox(self._path, self._written_to)


def an_outbox(path: Path, ledger: Path) -> Outbox:
    """Open it as the agent's command line does."""
    try:
        return WitnessedOutbox(path, ledger)
    except (OSError, sqlite3.OperationalError) as error:
        if not is_transient(error):
            raise
        print(f"on a disk that can't be written: {error}", file=sys.stderr, flush=True)
        return WitnessedMemoryFallback(path, ledger)


def canonical(record: object) -> bytes:
    """Return a record of JSON so that equal ones are equal bytes."""
    return json.dumps(record, sort_keys=True).encode()
