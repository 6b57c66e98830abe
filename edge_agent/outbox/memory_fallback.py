"""The refuge: an outbox in memory, for as long as the store on disk can't be opened: no room at all, or read-only.

What flows in: where the store should be. What flows out: an outbox that remembers what stood and what was learnt, if
that can be read; and the outbox on disk, with all that waits here, as soon as it can be opened.
"""

import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from edge_agent.outbox import state_table
from edge_agent.outbox.database import Damage, InUse
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.quota import Room

log = logging.getLogger(__name__)

IN_MEMORY_BYTES = 4 << 20
TRY_EVERY_S = 60.0


class Refuge(Outbox):
    """What is in here ends with the process, so nothing stays here for longer than it must."""

    def __init__(self, path: Path, room: Room) -> None:
        super().__init__(None, replace(room, budget_bytes=min(room.budget_bytes, IN_MEMORY_BYTES)))
        self._home, self._home_room = path, room
        self._try_at_s = 0.0
        self._damaged: Damage | None = None
        self._stood: tuple[str, ...] | None = None
        if recollected := _recollect(path):
            standing, learnt = recollected
            self._stood = tuple(standing)
            self.put([], standing)
            for name, body in learnt.items():
                self.learn(name, body)

    def home(self, now_s: float) -> Outbox | None:
        """Return the outbox on disk with all that waits here, or None where it still can't be; tried once a minute.

        To be asked only while nothing is under way: what waits gets other numbers. `now_s` is a clock without steps.
        """
        if now_s < self._try_at_s:
            return None
        self._try_at_s = now_s + TRY_EVERY_S
        try:
            outbox = self._open_home()
        except (InUse, OSError, sqlite3.DatabaseError) as error:
            log.debug("the outbox can't be opened yet: %s", error)
            return None
        try:
            self._damaged = self._damaged or outbox.damage
            outbox.take_over(self, self._stood)
        except sqlite3.DatabaseError as error:
            log.debug("the outbox takes nothing yet: %s", error)
            outbox.abandon()
            return None
        outbox.damage = self._damaged
        return outbox

    def _open_home(self) -> Outbox:
        return Outbox(self._home, self._home_room)


def _recollect(path: Path) -> tuple[dict[str, bytes], dict[str, bytes]] | None:
    """Read what stood and what was learnt from a store that can't be written; None where it can't be read either."""
    ways = (
        ("mode=ro", "NORMAL"),
        ("mode=rw", "EXCLUSIVE"),  # where there is no room for the index of the log
        ("mode=ro&immutable=1", "NORMAL"),  # does without what is in the log
    )
    for how, locking in ways:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True)) as db:
                db.execute(f"PRAGMA locking_mode = {locking}")
                return state_table.standing(db), state_table.learnt(db)
        except sqlite3.Error as error:
            log.debug("nothing can be read of the outbox: %s", error)
    return None
