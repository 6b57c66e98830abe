"""State table: what outlives a restart besides records: the open findings, and the learned state of the detectors.

What flows in and out: encoded findings by id, and encoded state by name. Writes run in the caller's transaction. The
tables keep the names of their first version, `standing` and `learnt`.
"""

import sqlite3
from collections.abc import Mapping

_OPEN = "INSERT OR REPLACE INTO standing (finding_id, body) VALUES (?, ?)"
_CLEAR = "DELETE FROM standing WHERE finding_id = ?"
_REPLACE = "INSERT OR REPLACE INTO learnt (name, body) VALUES (?, ?)"
_ADD = "INSERT OR IGNORE INTO learnt (name, body) VALUES (?, ?)"


def set_open_findings(db: sqlite3.Connection, changes: Mapping[str, bytes | None]) -> None:
    """Store the body of each finding that is open; None deletes one that has cleared."""
    for finding_id, body in changes.items():
        db.execute(*((_CLEAR, (finding_id,)) if body is None else (_OPEN, (finding_id, body))))


def open_findings(db: sqlite3.Connection) -> dict[str, bytes]:
    """Return the open findings by id."""
    return dict(db.execute("SELECT finding_id, body FROM standing").fetchall())


def save_learned_state(db: sqlite3.Connection, state: Mapping[str, bytes], *, replace: bool = True) -> None:
    """Store learned state by name; without `replace`, only under names that have none."""
    db.executemany(_REPLACE if replace else _ADD, list(state.items()))


def learned_state(db: sqlite3.Connection) -> dict[str, bytes]:
    """Return all learned state by name."""
    return dict(db.execute("SELECT name, body FROM learnt").fetchall())
