"""Quota: how much the store may take, and which records are evicted when that is not enough.

What flows in: the store and the bytes that are to be written. What flows out: the evicted numbers, added to the losses.
Telemetry is evicted first and findings last, within each class the oldest first. A record that declares a loss accounts
for the others and is never evicted.
"""

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from edge_agent.outbox import loss_table
from edge_agent.outbox.database import Store
from edge_agent.outbox.loss_table import QUOTA_EXCEEDED
from edge_agent.outbox.numbering import Numbering
from edge_agent.outbox.schema import Kind
from edge_agent.protocol.topics import Lane

MIN_BYTES = 1 << 20  # allowed however full the file system is: a full disk is what the agent must report
_OVERHEAD_BYTES = 128 << 10  # of the budget, for learned state, open findings and pages that are not full
_FLOOR = 0.05  # share of the budget that the newest of each class keeps until nothing else is left to evict
_TARGET = 0.95  # eviction goes on to this share of what is allowed, so that the next record evicts nothing

_OLDEST = "SELECT seq, length(body) FROM record WHERE lane = ? AND kind = ? ORDER BY seq"
_DELETE = "DELETE FROM record WHERE lane = ? AND seq = ?"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much the store may take, how much of the file system stays free, how long telemetry stays in memory."""

    budget_bytes: int = 100 << 20
    headroom_bytes: int = 10 << 20
    flush_every_s: float = 900.0


def free_space(store: Store, quota: Quota, need: int, numbers: Numbering) -> None:
    """Evict records until `need` bytes fit, and add their numbers to the losses, in a transaction for each class.

    A store that can't be written now is left unchanged.
    """
    try:
        used, free, budget = store.used_bytes(), store.free_bytes(), quota.budget_bytes - _OVERHEAD_BYTES
        allowed = budget
        if free is not None and free - need < quota.headroom_bytes:
            store.delete_set_aside()
            allowed = min(allowed, max(MIN_BYTES, used + free - quota.headroom_bytes))
        if used + need <= allowed:
            return
        for kind, floor in _eviction_order(int(allowed * _FLOOR)):
            _evict(store, kind, used + need - int(allowed * _TARGET), floor, numbers)
            used = store.used_bytes()
            if used + need <= allowed * _TARGET:
                break
        if allowed < budget:
            store.shrink(at_once=True)
    except (sqlite3.OperationalError, OSError) as error:
        log.debug("no space could be freed: %s", error)


def _eviction_order(floor: int) -> Iterator[tuple[Kind, int]]:
    """Yield each class with the bytes of its newest that it keeps: first all down to their floors, then all of it."""
    yield from ((Kind.TELEMETRY, floor), (Kind.EVIDENCE, floor))
    yield from ((Kind.TELEMETRY, 0), (Kind.EVIDENCE, 0), (Kind.FINDING, 0))


def _evict(store: Store, kind: Kind, excess: int, floor: int, numbers: Numbering) -> None:
    lane = Lane.TELEMETRY if kind is Kind.TELEMETRY else Lane.FINDINGS
    evicted = oldest(store.db.execute(_OLDEST, (lane, kind)).fetchall(), excess, floor)
    if evicted:
        with store.transaction() as db:
            db.executemany(_DELETE, [(lane, seq) for seq in evicted])
            loss_table.add(db, lane, numbers[lane].stream, loss_table.to_ranges(evicted), QUOTA_EXCEEDED)


def oldest(sizes: list[tuple[int, int]], excess: int, floor: int) -> list[int]:
    """Choose from (number, bytes), oldest first, until `excess` bytes are freed or less than `floor` would be left."""
    left, chosen = sum(size for _, size in sizes), []
    for seq, size in sizes:
        if excess <= 0 or left - size < floor:
            break
        chosen.append(seq)
        excess, left = excess - size, left - size
    return chosen
