"""Room: how much the store may take, and who goes when that is not enough.

What flows in: the store and the bytes that are to come. What flows out: numbers that were dropped. Bulk goes first,
findings go last, the newest of each class goes last within it, and a loss (which accounts for the others) never goes.
"""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_agent.outbox.database import Store
from edge_agent.outbox.schema import Kind
from edge_agent.protocol.topics import Lane

LEAST_BYTES = 1 << 20  # however full the file system is, we take this much: a full disk is what we must report
_APART_BYTES = 128 << 10  # of the budget, for what is no record: what was learnt, what stands, pages that are not full
_FLOOR = 0.05  # share of the budget that the newest of each class keeps until all other room is gone
_AIR = 0.95  # eviction goes on to this share of what is allowed, so that the next record evicts nothing

_OLDEST = "SELECT seq, length(body) FROM record WHERE lane = ? AND kind = ? ORDER BY seq"
_DROP = "DELETE FROM record WHERE lane = ? AND seq = ?"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much the store may take, how much of the file system stays free, and for how long telemetry may wait."""

    budget_bytes: int = 100 << 20
    headroom_bytes: int = 10 << 20
    flush_every_s: float = 900.0


def make_room(store: Store, room: Room, need: int, lose: Callable[[Lane, list[int]], None]) -> None:
    """Evict until `need` bytes more fit into what we may take; `lose` notes numbers, in the same transaction.

    A store that can't be written now is left as it is.
    """
    try:
        used, free, budget = store.used_bytes(), store.free_bytes(), room.budget_bytes - _APART_BYTES
        allowed = budget
        if free is not None and free - need < room.headroom_bytes:
            store.forget_aside()
            allowed = min(allowed, max(LEAST_BYTES, used + free - room.headroom_bytes))
        if used + need <= allowed:
            return
        for kind, floor in _order(int(allowed * _FLOOR)):
            _evict(store, kind, used + need - int(allowed * _AIR), floor, lose)
            used = store.used_bytes()
            if used + need <= allowed * _AIR:
                break
        if allowed < budget:
            store.give_back(at_once=True)
    except (sqlite3.OperationalError, OSError) as error:
        log.debug("no room could be made: %s", error)


def _order(floor: int) -> Iterator[tuple[Kind, int]]:
    """Yield each class with the bytes of its newest that it keeps: first all down to their floors, then all of it."""
    yield from ((Kind.TELEMETRY, floor), (Kind.EVIDENCE, floor))
    yield from ((Kind.TELEMETRY, 0), (Kind.EVIDENCE, 0), (Kind.FINDING, 0))


def _evict(store: Store, kind: Kind, excess: int, floor: int, lose: Callable[[Lane, list[int]], None]) -> None:
    lane = Lane.TELEMETRY if kind is Kind.TELEMETRY else Lane.FINDINGS
    gone = oldest(store.db.execute(_OLDEST, (lane, kind)).fetchall(), excess, floor)
    if gone:
        with store.transaction() as db:
            db.executemany(_DROP, [(lane, seq) for seq in gone])
            lose(lane, gone)


def oldest(sizes: list[tuple[int, int]], excess: int, floor: int) -> list[int]:
    """Choose from (number, bytes), oldest first, until `excess` bytes are gone or less than `floor` would be left."""
    left, gone = sum(size for _, size in sizes), []
    for seq, size in sizes:
        if excess <= 0 or left - size < floor:
            break
        gone.append(seq)
        excess, left = excess - size, left - size
    return gone
