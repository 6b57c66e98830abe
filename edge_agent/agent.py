"""The agent: the loop that carries each sample from the collectors to the outbox, and the outbox to the cloud."""

import json
import logging
import math
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from edge_agent import __version__
from edge_agent.clock import Clock
from edge_agent.collectors import Collection
from edge_agent.detection.pipeline import Outcome, Pipeline
from edge_agent.detection.verdicts import Verdict
from edge_agent.evidence import EvidenceRoom, Ring
from edge_agent.outbox import Outbox
from edge_agent.outbox.backdating import BootStart, backdate
from edge_agent.outbox.database import Damage, indicates_damage
from edge_agent.outbox.loss_table import LostRange, loss_record
from edge_agent.outbox.memory_fallback import MemoryFallback
from edge_agent.protocol import records, telemetry
from edge_agent.protocol.faults import FAULTS, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane
from edge_agent.resource_budget import SENT, Budgets, DegradationLevel, Limits
from edge_agent.sample import Sample
from edge_agent.self_faults import SAID_FOR_S, over_budget, store_damaged
from edge_agent.telemetry_batches import Batcher, batcher
from edge_agent.uplink.mqtt_connection import Link
from edge_agent.uplink.uplink import Uplink

log = logging.getLogger(__name__)

MAX_UNSAID = 256  # records kept in memory while the outbox can't be written; then the oldest go
LEARNED_STATE = "judges"  # its name in the outbox
SLOW_SAMPLING_FACTOR = 4  # times the period, while the agent is over its budget
SPARSE_BATCH_MIN = 240  # minutes of aggregates in one batch then
NUMBERED_AHEAD_S = 6 * 3600.0  # telemetry numbers are reserved for so long: four writes a day
UNDATED_S = 600.0  # records that are older, from before the first clock sync, are worth waiting for their date
SAVE_STATE_EVERY_S = 6 * 3600.0  # a power cut loses at most this much learned state; a write is some 30 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the loop needs to know, in plain values."""

    device: str
    firmware: str
    hardware: str
    model: str
    period_s: float
    evidence_before_s: float
    evidence_after_s: float
    telemetry: str  # the profile
    publish_every_min: int  # minutes in one telemetry batch; 0 as the profile has it
    budgets: Budgets = field(default_factory=Budgets)


class Agent:
    """One device. `run` returns after `stop` is set; everything it has accepted is on disk then."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock,
        collection: Collection,
        pipeline: Pipeline,
        outbox: Outbox,
        link: Link,
    ) -> None:
        self._settings, self._clock = settings, clock
        self._collection, self._pipeline, self._outbox = collection, pipeline, outbox
        self._ring = Ring(rows=round(settings.evidence_before_s / settings.period_s))
        self._evidence = EvidenceRoom(self._ring, settings.evidence_after_s)
        self._named_failures: set[str] = set()
        self._metrics = 0
        self._unsaid: list[records.Finding | records.Evidence | records.Loss] = []  # not committed yet
        self._unbuffered: list[bytes] = []
        self._dropped = dict.fromkeys(Lane, 0)  # records dropped while the outbox was not writable
        self._damaged: tuple[Damage, float] | None = None  # and the uptime at which it was found
        self._limits = Limits(settings.budgets)
        self._batcher = self._make_batcher()
        self._undated_since_s: float | None = None  # uptime of the first sample with a clock that is not set
        self._store_down = False
        self._state_saved_at_s = clock.now().uptime_s
        self._uplink = Uplink(
            device=settings.device,
            link=link,
            outbox=outbox,
            presence=self._presence,
            monotonic=time.monotonic,
            undated=self._undated,
        )

    def run(self, stop: threading.Event, each: Callable[[Outcome], None] | None = None) -> None:
        """Sample on a schedule that does not drift until `stop` is set; `each` sees what every sample led to."""
        self._resume(self._clock.now())
        self._uplink.start()
        due_s = self._clock.now().uptime_s
        try:
            while not stop.is_set():
                outcome = self.step()
                if each:
                    each(outcome)
                due_s = _next_due(due_s, self._clock.now().uptime_s, self._period_s())
                self._clock.wait_until(due_s, stop)
        finally:
            self._finish()

    def step(self) -> Outcome:
        """Carry one sample all the way: collect, judge, freeze evidence, commit, aggregate, send."""
        sample = self._sample()
        outcome = self._pipeline.step(sample, sample.at, self._own_verdicts(sample.at))
        self._ring.add(sample.at.uptime_s, outcome.features)
        self._say(outcome, sample.at)
        self._aggregate(outcome, sample.at)
        self._store(sample.at)
        return outcome

    def _sample(self) -> Sample:
        """Read the device and what we cost it, and keep to our budget."""
        sample = self._collection.sample(self._clock.now())
        self._name_failures()
        sample = replace(sample, values={**sample.values, SENT: float(self._uplink.sent_bytes)})
        self._metrics = len(sample.values)
        watching = float(self._uplink.sent_bytes - self._uplink.late_bytes)  # to do less brings no backlog back
        if self._limits.step({**sample.values, SENT: watching}, sample.at.uptime_s):
            self._change_degradation()
        return sample

    def _change_degradation(self) -> None:
        level, blamed = self._limits.level, ", ".join(one.name for one in self._limits.excesses)
        log.warning(
            "degradation level is now %s%s", level.name.lower(), f": over its budget for {blamed}" if blamed else ""
        )
        self._end_batch()
        self._batcher = self._make_batcher()

    def _make_batcher(self) -> Batcher | None:
        """Return what the profile asks for, or less where the level is less."""
        profile, minutes = self._settings.telemetry, self._settings.publish_every_min
        if self._limits.level >= DegradationLevel.FINDINGS_ONLY or profile == "findings-only":
            return None
        if self._limits.level >= DegradationLevel.SPARSE_TELEMETRY:
            profile, minutes = "frugal", SPARSE_BATCH_MIN
        return batcher(profile, minutes, self._period_s())

    def _end_batch(self) -> None:
        if self._batcher and (batch := self._batcher.finish()):
            self._pack(batch)

    def _period_s(self) -> float:
        return self._settings.period_s * (
            SLOW_SAMPLING_FACTOR if self._limits.level >= DegradationLevel.SLOW_SAMPLING else 1
        )

    def _own_verdicts(self, now: Instant) -> list[Verdict]:
        """Return what we have to say of ourselves."""
        verdicts = [over_budget(excess, self._limits.level) for excess in self._limits.excesses]
        if self._damaged and now.uptime_s - self._damaged[1] < SAID_FOR_S:
            verdicts.append(store_damaged(self._damaged[0]))
        return verdicts

    def _say(self, outcome: Outcome, now: Instant) -> None:
        """Line up what there is to say: findings, each with its evidence, and second halves of evidence."""
        for announcement in outcome.announcements:
            finding = announcement.finding
            self._unsaid += [finding, *self._evidence.freeze(announcement, now)]
            level = logging.INFO if finding.severity is Severity.INFO else logging.WARNING
            log.log(level, "%s %s on %s: %s", finding.phase, finding.fault, finding.component, finding.reason)
        self._unsaid += self._evidence.due(now)

    def _aggregate(self, outcome: Outcome, now: Instant) -> None:
        if self._batcher and (batch := self._batcher.step(outcome.features, now)):
            self._pack(batch)

    def _pack(self, batch: telemetry.Batch) -> None:
        """Line up a batch; one that no record can hold, of thousands of series, is named and given up."""
        try:
            self._unbuffered.append(telemetry.pack(batch))
        except ValueError as error:
            log.error("telemetry since %s is given up: %s", batch.start.wall, error)

    def _store(self, now: Instant) -> None:
        """Commit, then send. A store that can't write (a full disk!) stops nothing: it is tried again each time."""
        failure: Exception | None = None
        parts: tuple[Callable[[], object], ...] = (
            lambda: self._migrate_to_disk(now, now.uptime_s),
            lambda: self._backdate(now),
            lambda: self._commit(now),
            lambda: self._outbox.flush_if_due(now.uptime_s, connected=self._uplink.connected),
            lambda: self._save_learned_state_if_due(now.uptime_s),
            self._uplink.pump,
        )
        for part in parts:
            try:
                part()
            except sqlite3.DatabaseError as error:
                failure = self._start_new_store(error, now) if indicates_damage(error) else error
        if failure:
            level = logging.DEBUG if self._store_down else logging.ERROR
            waiting = len(self._unsaid)
            log.log(level, "the outbox can't be written (%s); keeping %d records in memory", failure, waiting)
            self._bound_memory()
        elif self._store_down:
            log.warning("the outbox can be written again")
        self._store_down = failure is not None

    def _start_new_store(self, error: sqlite3.DatabaseError, now: Instant) -> Exception | None:
        """The store is damaged: continue with a new one. Return the error where none can be created now."""
        try:
            self._outbox.start_new_store(str(error))
        except (sqlite3.DatabaseError, OSError) as again:
            return again
        self._uplink.start_new_store(self._outbox)
        self._note_damage(now)
        return None

    def _migrate_to_disk(self, now: Instant, at_s: float) -> None:
        """Move from memory to the store on disk as soon as it can be opened and nothing is in flight."""
        if not isinstance(self._outbox, MemoryFallback) or self._uplink.is_under_way:
            return
        if on_disk := self._outbox.open_on_disk(at_s):
            log.warning("the outbox is open; the records from memory are on disk")
            self._outbox.release()
            self._outbox = on_disk
            self._uplink.start_new_store(on_disk)
            self._note_damage(now)

    def _note_damage(self, now: Instant) -> None:
        if damage := self._outbox.damage:
            self._damaged = (damage, now.uptime_s)
            log.error("the damaged outbox (%s) is set aside as %s; a new stream starts", damage.reason, damage.kept_as)

    def _bound_memory(self) -> None:
        """Bound the records in memory: evidence is dropped first, findings last, and each drop is counted."""
        before = dict(self._dropped)
        self._dropped[Lane.TELEMETRY] += max(0, len(self._unbuffered) - MAX_UNSAID)
        del self._unbuffered[:-MAX_UNSAID]
        spare = sorted(self._unsaid, key=lambda one: not isinstance(one, records.Evidence))  # stable: the oldest first
        for one in spare[: max(0, len(self._unsaid) - MAX_UNSAID)]:
            self._unsaid.remove(one)
            self._dropped[Lane.FINDINGS] += 1
        if self._dropped != before and not any(before.values()):
            log.error(
                "the outbox is not writable for too long; records above %d are dropped and declared lost", MAX_UNSAID
            )

    def _commit(self, now: Instant) -> None:
        """Put findings and their evidence on disk, in one transaction: only then do they count as said."""
        lost = self._outbox.undeclared() if self._uplink.connected else []
        said = [*self._unsaid, *(loss_record(one, now) for one in lost)]
        if said or any(self._dropped.values()):
            open_findings = {
                one.finding_id: None if one.phase is records.Phase.CLEAR else records.encode(one)
                for one in self._unsaid
                if isinstance(one, records.Finding)
            }
            self._outbox.put(map(records.encode, said), open_findings, dropped=self._dropped, declared=lost)
            _log_losses(lost)
            self._unsaid.clear()
            self._dropped = dict.fromkeys(Lane, 0)
        while self._unbuffered:
            self._outbox.buffer(self._unbuffered[0])
            del self._unbuffered[0]
        if self._batcher:
            self._outbox.reserve_next(max(1, round(NUMBERED_AHEAD_S / self._batcher.lasts_s)))

    def _undated(self) -> bool:
        """Whether records wait that are older than some minutes and whose date is not known."""
        since_s = self._undated_since_s
        return since_s is not None and self._clock.now().uptime_s - since_s > UNDATED_S

    def _backdate(self, now: Instant) -> None:
        """When the clock was just set for the first time in this boot, date the records that never left the device."""
        if not now.synced:
            self._undated_since_s = now.uptime_s if self._undated_since_s is None else self._undated_since_s
        elif self._undated_since_s is not None:
            boot = BootStart.of(now)
            dated = 0
            for lane in Lane:
                above = max(self._outbox.last_seq_at_start(lane), self._uplink.left_up_to(lane))
                dated += self._outbox.rewrite(lane, above, partial(backdate, lane, boot))
            log.info("the clock is set: this boot started at %s, %d records are dated", boot.wall, dated)
            self._undated_since_s = None

    def _save_learned_state_if_due(self, uptime_s: float) -> None:
        if uptime_s - self._state_saved_at_s >= SAVE_STATE_EVERY_S:
            self._save_learned_state(uptime_s)

    def _save_learned_state(self, uptime_s: float) -> None:
        self._state_saved_at_s = uptime_s
        self._outbox.save_learned_state(LEARNED_STATE, json.dumps(self._pipeline.export_state()).encode())

    def _resume(self, now: Instant) -> None:
        """Resume from the last run: its learned state, its open findings, and whether its store was damaged."""
        if (learned := self._outbox.learned_state(LEARNED_STATE)) and (unusable := self._restore(learned)):
            log.warning("learned state that can't be used starts anew: %s", unusable)
        self._pipeline.resume(self._open_findings(), now)
        self._note_damage(now)

    def _open_findings(self) -> Iterator[records.Finding]:
        """Yield the findings open in the last run; one that this version can't evaluate is cleared and logged."""
        for finding_id, body in self._outbox.open_findings().items():
            try:
                finding = records.read_record(json.loads(body))
            except ValueError:
                finding = None
            if isinstance(finding, records.Finding) and finding.fault in FAULTS:
                yield finding
                continue
            log.warning("finding %s of another version can't be resumed; it is cleared", finding_id)
            cleared = []
            if isinstance(finding, records.Finding):
                over = {"phase": records.Phase.CLEAR, "impact": None, "reason": "this version does not judge it"}
                cleared = [records.encode(finding.model_copy(update=over))]
            self._outbox.put(cleared, {finding_id: None})

    def _restore(self, learned: bytes) -> str:
        """Restore the learned state of the detectors; return what they could not use, and why."""
        try:
            state = json.loads(learned)
        except ValueError as error:
            return str(error)
        return "; ".join(self._pipeline.restore_state(state)) if isinstance(state, dict) else "no mapping"

    def _name_failures(self) -> None:
        """Log a collector once on the way down and once on the way back up."""
        failing = self._collection.failing
        for name in failing.keys() - self._named_failures:
            log.warning("collector %s can't read: %s", name, failing[name])
        for name in self._named_failures - failing.keys():
            log.info("collector %s reads again", name)
        self._named_failures = set(failing)

    def _presence(self, state: records.PresenceState) -> records.Presence:
        return records.Presence(
            state=state,
            at=self._clock.now(),
            agent=__version__,
            model=self._settings.model,
            firmware=self._settings.firmware,
            hardware=self._settings.hardware,
            metrics=self._metrics,
        )

    def _finish(self) -> None:
        """Write everything down and say goodbye; what can't be written is named."""
        self._end_batch()
        self._store(self._clock.now())
        self._uplink.stop()
        now = self._clock.now()
        parts: tuple[Callable[[], object], ...] = (
            lambda: self._migrate_to_disk(now, math.inf),
            lambda: self._save_learned_state(now.uptime_s),
            lambda: self._outbox.close(),
        )
        for part in parts:  # one that fails does not keep the others from being written
            try:
                part()
            except sqlite3.DatabaseError as error:
                log.error("the outbox can't be written (%s): %d records are lost", error, len(self._unsaid))
        if isinstance(self._outbox, MemoryFallback) and (left := sum(map(self._outbox.waiting, Lane))):
            log.error("the outbox can't be opened: %d records in memory are lost", left)


def _log_losses(lost: Iterable[LostRange]) -> None:
    """Log how many records are lost, a line for each lane and cause."""
    counts: Counter[tuple[Lane, str]] = Counter()
    for one in lost:
        counts[one.lane, one.cause] += one.last_seq - one.first_seq + 1
    for (lane, cause), count in counts.items():
        log.warning("%s: %d records are lost, or may be: %s", lane, count, cause)


def _next_due(due_s: float, now_s: float, period_s: float) -> float:
    """Return the next multiple of the period after now: late samples are skipped, never made up for in a burst."""
    missed = max(0, int((now_s - due_s) / period_s))
    return due_s + (missed + 1) * period_s
