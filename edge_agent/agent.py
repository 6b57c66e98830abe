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
from edge_agent.outbox.backdating import Began, redated
from edge_agent.outbox.database import Damage, says_damaged
from edge_agent.outbox.loss_table import Gone, loss_of
from edge_agent.outbox.memory_fallback import Refuge
from edge_agent.outbox.outbox import Outbox
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
LEARNT = "judges"
SLOW_SAMPLING_FACTOR = 4  # times the period, while the agent is over its budget
SPARSE_BATCH_MIN = 240  # minutes of aggregates in one batch then
NUMBERED_AHEAD_S = 6 * 3600.0  # telemetry numbers are reserved for so long: four writes a day
UNDATED_S = 600.0  # records that are older, from before the first clock sync, are worth waiting for their date
LEARN_EVERY_S = 6 * 3600.0  # a power cut costs at most this much of what was learnt, in some 30 kB a write


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
        self._unheld: list[bytes] = []
        self._given_up = dict.fromkeys(Lane, 0)  # records that found no room before the outbox could take them
        self._damaged: tuple[Damage, float] | None = None  # and the uptime at which it was found
        self._limits = Limits(settings.budgets)
        self._batcher = self._make_batcher()
        self._undated_since_s: float | None = None  # uptime of the first sample with a clock that is not set
        self._store_down = False
        self._learnt_at_s = clock.now().uptime_s
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
            self._unheld.append(telemetry.pack(batch))
        except ValueError as error:
            log.error("telemetry since %s is given up: %s", batch.start.wall, error)

    def _store(self, now: Instant) -> None:
        """Commit, then send. A store that can't write (a full disk!) stops nothing: it is tried again each time."""
        failure: Exception | None = None
        parts: tuple[Callable[[], object], ...] = (
            lambda: self._come_home(now, now.uptime_s),
            lambda: self._redate(now),
            lambda: self._commit(now),
            lambda: self._outbox.tend(now.uptime_s, connected=self._uplink.connected),
            lambda: self._keep_learnt_if_due(now.uptime_s),
            self._uplink.pump,
        )
        for part in parts:
            try:
                part()
            except sqlite3.DatabaseError as error:
                failure = self._begin_anew(error, now) if says_damaged(error) else error
        if failure:
            level = logging.DEBUG if self._store_down else logging.ERROR
            waiting = len(self._unsaid)
            log.log(level, "the outbox can't be written (%s); keeping %d records in memory", failure, waiting)
            self._make_room()
        elif self._store_down:
            log.warning("the outbox can be written again")
        self._store_down = failure is not None

    def _begin_anew(self, error: sqlite3.DatabaseError, now: Instant) -> Exception | None:
        """The store is damaged: go on with a new one. Return why that can't be done now, if so."""
        try:
            self._outbox.begin_anew(str(error))
        except (sqlite3.DatabaseError, OSError) as again:
            return again
        self._uplink.start_new_store(self._outbox)
        self._note_damage(now)
        return None

    def _come_home(self, now: Instant, at_s: float) -> None:
        """Where the store could not be opened at start, go on with it as soon as it can be and nothing is under way."""
        if not isinstance(self._outbox, Refuge) or self._uplink.is_under_way:
            return
        if home := self._outbox.home(at_s):
            log.warning("the outbox can be opened now; what waited in memory is there")
            self._outbox.abandon()
            self._outbox = home
            self._uplink.start_new_store(home)
            self._note_damage(now)

    def _note_damage(self, now: Instant) -> None:
        if damage := self._outbox.damage:
            self._damaged = (damage, now.uptime_s)
            log.error("the outbox (%s) is set aside as %s; a new stream begins", damage.reason, damage.kept_as)

    def _make_room(self) -> None:
        """Bound what waits in memory: evidence goes first, findings last, and what goes is counted."""
        before = dict(self._given_up)
        self._given_up[Lane.TELEMETRY] += max(0, len(self._unheld) - MAX_UNSAID)
        del self._unheld[:-MAX_UNSAID]
        spare = sorted(self._unsaid, key=lambda one: not isinstance(one, records.Evidence))  # stable: the oldest first
        for one in spare[: max(0, len(self._unsaid) - MAX_UNSAID)]:
            self._unsaid.remove(one)
            self._given_up[Lane.FINDINGS] += 1
        if self._given_up != before and not any(before.values()):
            log.error("the outbox can't be written for too long; what finds no room in memory will be declared lost")

    def _commit(self, now: Instant) -> None:
        """Put findings and their evidence on disk, in one transaction: only then do they count as said."""
        gone = self._outbox.undeclared() if self._uplink.connected else []
        said = [*self._unsaid, *(loss_of(one, now) for one in gone)]
        if said or any(self._given_up.values()):
            standing = {
                one.finding_id: None if one.phase is records.Phase.CLEAR else records.encode(one)
                for one in self._unsaid
                if isinstance(one, records.Finding)
            }
            self._outbox.put(map(records.encode, said), standing, given_up=self._given_up, declared=gone)
            _name_losses(gone)
            self._unsaid.clear()
            self._given_up = dict.fromkeys(Lane, 0)
        while self._unheld:
            self._outbox.hold(self._unheld[0])
            del self._unheld[0]
        if self._batcher:
            self._outbox.expect(max(1, round(NUMBERED_AHEAD_S / self._batcher.lasts_s)))

    def _undated(self) -> bool:
        """Whether records wait that are older than some minutes and whose date is not known."""
        since_s = self._undated_since_s
        return since_s is not None and self._clock.now().uptime_s - since_s > UNDATED_S

    def _redate(self, now: Instant) -> None:
        """When the clock has just been set for the first time in this boot, date what has never left the device."""
        if not now.synced:
            self._undated_since_s = now.uptime_s if self._undated_since_s is None else self._undated_since_s
        elif self._undated_since_s is not None:
            began = Began.of(now)
            dated = 0
            for lane in Lane:
                above = max(self._outbox.found_up_to(lane), self._uplink.left_up_to(lane))
                dated += self._outbox.rewrite(lane, above, partial(redated, lane, began))
            log.info("the clock is set: this boot began at %s, %d records are dated", began.wall, dated)
            self._undated_since_s = None

    def _keep_learnt_if_due(self, uptime_s: float) -> None:
        if uptime_s - self._learnt_at_s >= LEARN_EVERY_S:
            self._keep_learnt(uptime_s)

    def _keep_learnt(self, uptime_s: float) -> None:
        self._learnt_at_s = uptime_s
        self._outbox.learn(LEARNT, json.dumps(self._pipeline.export_state()).encode())

    def _resume(self, now: Instant) -> None:
        """Take up what the last run left: what was learnt, findings that stood, and what it lost."""
        if (learnt := self._outbox.learnt(LEARNT)) and (dropped := self._restore(learnt)):
            log.warning("of what was learnt of this device this can't be used, and begins anew: %s", dropped)
        self._pipeline.resume(self._stood(), now)
        self._note_damage(now)

    def _stood(self) -> Iterator[records.Finding]:
        """Yield what stood; a finding of another version that this one can't judge is cleared and named."""
        for finding_id, body in self._outbox.standing().items():
            try:
                finding = records.read_record(json.loads(body))
            except ValueError:
                finding = None
            if isinstance(finding, records.Finding) and finding.fault in FAULTS:
                yield finding
                continue
            log.warning("finding %s of another version can't be taken up; it is cleared", finding_id)
            cleared = []
            if isinstance(finding, records.Finding):
                over = {"phase": records.Phase.CLEAR, "impact": None, "reason": "this version does not judge it"}
                cleared = [records.encode(finding.model_copy(update=over))]
            self._outbox.put(cleared, {finding_id: None})

    def _restore(self, learnt: bytes) -> str:
        """Give the judges what they had learnt; return what they could not use, and why."""
        try:
            state = json.loads(learnt)
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
            lambda: self._come_home(now, math.inf),
            lambda: self._keep_learnt(now.uptime_s),
            lambda: self._outbox.close(),
        )
        for part in parts:  # what finds no room takes nothing with it that does
            try:
                part()
            except sqlite3.DatabaseError as error:
                log.error("the outbox can't be written (%s): %d records are lost", error, len(self._unsaid))
        if isinstance(self._outbox, Refuge) and (left := sum(map(self._outbox.waiting, Lane))):
            log.error("the outbox can't be opened: %d records that waited in memory are lost", left)


def _name_losses(gone: Iterable[Gone]) -> None:
    """Log how many records are lost, a line for each lane and cause."""
    counts: Counter[tuple[Lane, str]] = Counter()
    for one in gone:
        counts[one.lane, one.cause] += one.last_seq - one.first_seq + 1
    for (lane, cause), count in counts.items():
        log.warning("%s: %d records are lost, or may be: %s", lane, count, cause)


def _next_due(due_s: float, now_s: float, period_s: float) -> float:
    """Return the next multiple of the period after now: late samples are skipped, never made up for in a burst."""
    missed = max(0, int((now_s - due_s) / period_s))
    return due_s + (missed + 1) * period_s
