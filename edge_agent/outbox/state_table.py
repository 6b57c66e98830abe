"""Remembered: what a device knows over its restarts: findings that stand, and what its judges have learnt of it.

What flows in and out: encoded findings by id, and bodies by name. Writing happens inside the caller's transaction.
"""

import sqlite3
from collections.abc import Mapping

_STAND = "INSERT OR REPLACE INTO standing (finding_id, body) VALUES (?, ?)"
_FALL = "DELETE FROM standing WHERE finding_id = ?"
_LEARN = "INSERT OR REPLACE INTO learnt (name, body) VALUES (?, ?)"
_LEARN_FIRST = "INSERT OR IGNORE INTO learnt (name, body) VALUES (?, ?)"


def stand(db: sqlite3.Connection, changes: Mapping[str, bytes | None]) -> None:
    """Note the body of each finding that is open now, None for one that is over."""
    for finding_id, body in changes.items():
        db.execute(*((_FALL, (finding_id,)) if body is None else (_STAND, (finding_id, body))))


def standing(db: sqlite3.Connection) -> dict[str, bytes]:
    """Return the findings that are open, by id."""
    return dict(db.execute("SELECT finding_id, body FROM standing").fetchall())


def learn(db: sqlite3.Connection, learnt: Mapping[str, bytes], *, anew: bool = True) -> None:
    """Keep what was learnt, in place of what was known before, or, not `anew`, only where nothing was."""
    db.executemany(_LEARN if anew else _LEARN_FIRST, list(learnt.items()))


def learnt(db: sqlite3.Connection) -> dict[str, bytes]:
    """Return all that was learnt, by name."""
    return dict(db.execute("SELECT name, body FROM learnt").fetchall())
