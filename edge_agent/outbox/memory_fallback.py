"""Memory fallback: an outbox in memory while the store on disk can't be opened: the disk is full or read-only.

What flows in: the path of the store. What flows out: an outbox that knows the open findings and the learned state of
the store where those can be read; and the outbox on disk, with everything that was in memory, once it can be opened.
"""

import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from edge_agent.outbox import state_table
from edge_agent.outbox.database import Damage, StoreInUseError, is_transient
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.quota import Quota

log = logging.getLogger(__name__)

MAX_MEMORY_BYTES = 4 << 20
RETRY_EVERY_S = 60.0


class MemoryFallback(Outbox):
    """An outbox whose records are lost when the process ends, so it migrates to disk as soon as it can."""

    def __init__(self, path: Path, quota: Quota) -> None:
        """`path` and `quota` are those of the store on disk."""
        super().__init__(None, replace(quota, budget_bytes=min(quota.budget_bytes, MAX_MEMORY_BYTES)))
        self._path, self._disk_quota = path, quota
        self._retry_at_s = 0.0
        self._damage_found: Damage | None = None
        self._known_open: tuple[str, ...] | None = None
        if state := _read_state(path):
            open_findings, learned_state = state
            self._known_open = tuple(open_findings)
            self.put([], open_findings)
            for name, body in learned_state.items():
                self.save_learned_state(name, body)

    def open_on_disk(self, now_s: float) -> Outbox | None:
        """Return the outbox on disk with everything from memory, None where it can't be opened; tried once a minute.

        Call it only while nothing is in flight: records get other numbers. `now_s` is a clock without steps.
        """
        if now_s < self._retry_at_s:
            return None
        self._retry_at_s = now_s + RETRY_EVERY_S
        try:
            outbox = self._open_store()
        except (StoreInUseError, OSError, sqlite3.DatabaseError) as error:
            log.debug("the outbox can't be opened yet: %s", error)
            return None
        try:
            self._damage_found = self._damage_found or outbox.damage
            outbox.migrate_from(self, self._known_open)
        except sqlite3.DatabaseError as error:
            log.debug("the outbox can't be written yet: %s", error)
            outbox.release()
            return None
        outbox.damage = self._damage_found
        return outbox

    def _open_store(self) -> Outbox:
        return Outbox(self._path, self._disk_quota)


def open_outbox(path: Path, quota: Quota) -> Outbox:
    """Open or create the outbox; on a full or read-only disk return a MemoryFallback.

    Raises StoreInUseError when another process has it, OSError or sqlite3.OperationalError when a retry would not help.
    """
    try:
        return Outbox(path, quota)
    except (sqlite3.OperationalError, OSError) as error:
        if not is_transient(error):
            raise
        log.error("the outbox %s can't be opened (%s); records are kept in memory until it can", path, error)
        return MemoryFallback(path, quota)


def _read_state(path: Path) -> tuple[dict[str, bytes], dict[str, bytes]] | None:
    """Return open findings and learned state of a store that can't be written; None where it can't be read either."""
    modes = (
        ("mode=ro", "NORMAL"),
        ("mode=rw", "EXCLUSIVE"),  # where the disk is too full for the index of the log
        ("mode=ro&immutable=1", "NORMAL"),  # ignores the content of the log
    )
    for mode, locking in modes:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)) as db:
                db.execute(f"PRAGMA locking_mode = {locking}")
                return state_table.open_findings(db), state_table.learned_state(db)
        except sqlite3.Error as error:
            log.debug("the outbox can't be read: %s", error)
    return None
