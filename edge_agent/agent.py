"""The agent: the loop that carries each sample from the collectors to the outbox, and the outbox to the cloud."""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_agent import __version__
from edge_agent.aggregates import Aggregates
from edge_agent.clock import Clock
from edge_agent.collectors import Collection
from edge_agent.detection.pipeline import Outcome, Pipeline
from edge_agent.evidence import EvidenceRoom, Ring
from edge_agent.outbox import Outbox
from edge_agent.protocol import records, telemetry
from edge_agent.protocol.faults import FAULTS, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane
from edge_agent.uplink import Link, Uplink

log = logging.getLogger(__name__)

MAX_UNSAID = 256  # records kept in memory while the outbox can't be written; then the oldest go
LEARNT = "judges"
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
    aggregate_min: int | None  # minutes in one telemetry batch; None sends findings only


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
        self._aggregates = Aggregates(settings.aggregate_min) if settings.aggregate_min else None
        self._named_failures: set[str] = set()
        self._metrics = 0
        self._unsaid: list[records.Finding | records.Evidence | records.Loss] = []  # not committed yet
        self._unheld: list[bytes] = []
        self._store_down = False
        self._learnt_at_s = clock.now().uptime_s
        self._uplink = Uplink(
            device=settings.device,
            link=link,
            outbox=outbox,
            presence=self._presence,
            monotonic=time.monotonic,
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
                due_s = _next_due(due_s, self._clock.now().uptime_s, self._settings.period_s)
                self._clock.wait_until(due_s, stop)
        finally:
            self._finish()

    def step(self) -> Outcome:
        """Carry one sample all the way: collect, judge, freeze evidence, commit, aggregate, send."""
        sample = self._collection.sample(self._clock.now())
        self._name_failures()
        self._metrics = len(sample.values)
        outcome = self._pipeline.step(sample, sample.at)
        self._ring.add(sample.at.uptime_s, outcome.features)
        self._say(outcome, sample.at)
        self._aggregate(outcome, sample.at)
        self._store(sample.at.uptime_s)
        return outcome

    def _say(self, outcome: Outcome, now: Instant) -> None:
        """Line up what there is to say: findings, each with its evidence, and second halves of evidence."""
        for announcement in outcome.announcements:
            finding = announcement.finding
            self._unsaid += [finding, *self._evidence.freeze(announcement, now)]
            level = logging.INFO if finding.severity is Severity.INFO else logging.WARNING
            log.log(level, "%s %s on %s: %s", finding.phase, finding.fault, finding.component, finding.reason)
        self._unsaid += self._evidence.due(now)

    def _aggregate(self, outcome: Outcome, now: Instant) -> None:
        batch = self._aggregates.step(outcome.features, now) if self._aggregates else None
        if batch is not None:
            self._unheld.append(telemetry.pack(batch))

    def _store(self, uptime_s: float) -> None:
        """Commit, then send. A store that can't write (a full disk!) stops nothing: it is tried again each time."""
        failure = None
        for part in (self._commit, lambda: self._keep_learnt_if_due(uptime_s), self._uplink.pump):
            try:
                part()
            except sqlite3.OperationalError as error:
                failure = error
        if failure:
            level = logging.DEBUG if self._store_down else logging.ERROR
            waiting = len(self._unsaid)
            log.log(level, "the outbox can't be written (%s); keeping %d records in memory", failure, waiting)
            self._make_room()
        elif self._store_down:
            log.warning("the outbox can be written again")
        self._store_down = failure is not None

    def _make_room(self) -> None:
        """Bound what waits in memory: evidence goes first, findings last, and what goes is named."""
        del self._unheld[:-MAX_UNSAID]
        for spare in [one for one in self._unsaid if isinstance(one, records.Evidence)] + self._unsaid[:]:
            if len(self._unsaid) <= MAX_UNSAID:
                return
            self._unsaid.remove(spare)
            log.error("given up, since the outbox can't be written: %s of %s", spare.kind, spare.at.wall)

    def _commit(self) -> None:
        """Put findings and their evidence on disk, in one transaction: only then do they count as said."""
        if self._unsaid:
            standing = {
                one.finding_id: None if one.phase is records.Phase.CLEAR else records.encode(one)
                for one in self._unsaid
                if isinstance(one, records.Finding)
            }
            self._outbox.put(map(records.encode, self._unsaid), standing)
            self._unsaid.clear()
        while self._unheld:
            self._outbox.hold(self._unheld[0])
            del self._unheld[0]

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
        if self._outbox.set_aside:
            log.error("the outbox was damaged and is now %s; a new stream begins", self._outbox.set_aside)
        if gap := self._outbox.gap:
            loss = records.Loss(
                at=now, lane=Lane.TELEMETRY, stream=gap.stream, first_seq=gap.first_seq, last_seq=gap.last_seq,
                reason="the agent stopped without writing down what it held in memory",
            )  # fmt: skip
            log.warning("telemetry %d to %d may be lost: %s", gap.first_seq, gap.last_seq, loss.reason)
            self._unsaid.append(loss)

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
        if self._aggregates and (batch := self._aggregates.finish()):
            self._unheld.append(telemetry.pack(batch))
        self._store(self._clock.now().uptime_s)
        self._uplink.stop()
        try:
            self._keep_learnt(self._clock.now().uptime_s)
            self._outbox.close()
        except sqlite3.OperationalError as error:
            log.error("the outbox can't be written (%s): %d records are lost", error, len(self._unsaid))


def _next_due(due_s: float, now_s: float, period_s: float) -> float:
    """Return the next multiple of the period after now: late samples are skipped, never made up for in a burst."""
    missed = max(0, int((now_s - due_s) / period_s))
    return due_s + (missed + 1) * period_s
