"""Delivery: commits records to the outbox, sends them, and recovers from a store that is damaged or not writable.

What flows in: findings, evidence and telemetry batches. What flows out: records on disk, then messages to the cloud.
Nothing here raises for the store: each stage is retried at the next sample.
"""

import logging
import math
import sqlite3
from collections.abc import Callable, Iterable

from edge_agent.clock import Clock
from edge_agent.outbox import Outbox
from edge_agent.outbox.backdating import Backdating
from edge_agent.outbox.commit_queue import CommitQueue
from edge_agent.outbox.database import Damage, indicates_damage
from edge_agent.outbox.detector_state import DetectorState
from edge_agent.outbox.memory_fallback import MemoryFallback
from edge_agent.protocol import records
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane
from edge_agent.uplink.uplink import Uplink

log = logging.getLogger(__name__)


class Delivery:
    """One device's outbox and its uplink. `start` and `stop` once each, `commit_and_send` at every sample."""

    def __init__(self, outbox: Outbox, uplink: Uplink, state: DetectorState, backdating: Backdating) -> None:
        """`uplink` sends from `outbox`. Both change to another outbox when the store is replaced."""
        self.outbox, self.uplink = outbox, uplink
        self._state, self._backdating = state, backdating
        self._queue = CommitQueue()
        self._store_failed = False  # in the last call of `commit_and_send`
        self.last_damage: tuple[Damage, float] | None = None
        """The store that was set aside last in this run, and the uptime at which it was found damaged."""

    def start(self, now: Instant) -> None:
        """Resume from the last run and begin to connect."""
        self.resume(now)
        self.uplink.start()

    def resume(self, now: Instant) -> None:
        """Restore the state of the detectors, and note whether the store was damaged."""
        self._state.resume(self.outbox, now)
        self._note_damage(now)

    def add(self, findings: Iterable[records.Finding | records.Evidence]) -> None:
        """Add findings and evidence for the next commit."""
        self._queue.add(findings)

    def add_telemetry(self, batches: Iterable[bytes]) -> None:
        """Add encoded telemetry batches for the next commit."""
        self._queue.add_telemetry(batches)

    def commit_and_send(self, now: Instant, numbers_ahead: int) -> None:
        """Commit, then send. A store that can't be written (a full disk) stops nothing: it is retried every time.

        `numbers_ahead` is how many telemetry numbers are reserved in one write, 0 for none.
        """
        failure = self._run_stages(now, numbers_ahead)
        if failure:
            level, pending = logging.DEBUG if self._store_failed else logging.ERROR, len(self._queue)
            log.log(level, "the outbox can't be written (%s); keeping %d records in memory", failure, pending)
            self._queue.enforce_limit()
        elif self._store_failed:
            log.warning("the outbox can be written again")
        self._store_failed = failure is not None

    def _run_stages(self, now: Instant, numbers_ahead: int) -> Exception | None:
        """Run every stage, even after one has failed; return the last error."""
        failure: Exception | None = None
        stages: tuple[Callable[[], object], ...] = (
            lambda: self._migrate_to_disk(now, now.uptime_s),
            lambda: self._backdating.step(self.outbox, self.uplink.left_up_to, now),
            lambda: self._commit(now, numbers_ahead),
            lambda: self.outbox.flush_if_due(now.uptime_s, connected=self.uplink.connected),
            lambda: self._state.save_if_due(self.outbox, now.uptime_s),
            self.uplink.pump,
        )
        for stage in stages:
            try:
                stage()
            except sqlite3.DatabaseError as error:
                failure = self._start_new_store(error, now) if indicates_damage(error) else error
        return failure

    def _commit(self, now: Instant, numbers_ahead: int) -> None:
        self._queue.commit(self.outbox, now, declare_losses=self.uplink.connected)
        if numbers_ahead:
            self.outbox.reserve_next(numbers_ahead)

    def _start_new_store(self, error: sqlite3.DatabaseError, now: Instant) -> Exception | None:
        """Replace the damaged store with a new one. Return the error where none can be created now."""
        try:
            self.outbox.start_new_store(str(error))
        except (sqlite3.DatabaseError, OSError) as again:
            return again
        self.uplink.start_new_store(self.outbox)
        self._state.start_new_store()
        self._note_damage(now)
        return None

    def _migrate_to_disk(self, now: Instant, at_s: float) -> None:
        """Migrate from the memory fallback as soon as the store can be opened and nothing is in flight.

        `at_s` is the uptime for the interval between two tries.
        """
        if not isinstance(self.outbox, MemoryFallback) or self.uplink.has_unacknowledged:
            return
        if on_disk := self.outbox.open_on_disk(at_s):
            log.warning("the outbox is open; the records from memory are on disk")
            self.outbox.release()
            self.outbox = on_disk
            self.uplink.start_new_store(on_disk)
            self._note_damage(now)

    def _note_damage(self, now: Instant) -> None:
        if damage := self.outbox.damage:
            self.last_damage = (damage, now.uptime_s)
            log.error("the damaged outbox (%s) is set aside as %s; a new stream starts", damage.reason, damage.kept_as)

    def stop(self, clock: Clock) -> None:
        """Disconnect, then write all that is in memory to disk, and log what can't be written."""
        self.uplink.stop()
        now = clock.now()
        parts: tuple[Callable[[], object], ...] = (
            lambda: self._migrate_to_disk(now, math.inf),
            lambda: self._state.save(self.outbox, now.uptime_s),
            lambda: self.outbox.close(),
        )
        for part in parts:  # one that fails does not keep the others from being written
            try:
                part()
            except sqlite3.DatabaseError as error:
                log.error("the outbox can't be written (%s): %d records are lost", error, len(self._queue))
        if isinstance(self.outbox, MemoryFallback) and (left := sum(map(self.outbox.waiting, Lane))):
            log.error("the outbox can't be opened: %d records in memory are lost", left)
