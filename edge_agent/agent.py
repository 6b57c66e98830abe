"""The agent: the loop that takes each sample from the collectors to the outbox, and the outbox to the cloud.

What flows in: readings of the device. What flows out: records for the cloud. `step` is the way of one sample.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edge_agent.clock import Clock
from edge_agent.collectors import Collection
from edge_agent.detection import Outcome, Pipeline
from edge_agent.evidence import EvidenceRecorder
from edge_agent.machines.machine_resets import MachineResets
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.instant import Instant
from edge_agent.resource_budget import SENT, Limits
from edge_agent.sample import Sample
from edge_agent.self_faults import own_verdicts
from edge_agent.telemetry_batches import Telemetry
from edge_agent.uplink.delivery import Delivery
from edge_agent.uplink.presence import PresenceReport

log = logging.getLogger(__name__)

MALFORMED_EXPECTED = "forewarn.agent.expected.malformed"


@dataclass(slots=True, kw_only=True)
class Agent:
    """One device. `run` returns after `stop` is set; all records are on disk then."""

    period_s: float  # between samples, at the normal degradation level
    clock: Clock
    collection: Collection
    limits: Limits
    pipeline: Pipeline
    evidence: EvidenceRecorder
    telemetry: Telemetry
    delivery: Delivery
    presence: PresenceReport
    resets: MachineResets | None = None
    _failing_logged: set[str] = field(default_factory=set)

    def run(self, stop: threading.Event, each: Callable[[Outcome], None] | None = None) -> None:
        """Sample at fixed times until `stop` is set; `each` receives the outcome of every sample."""
        self.delivery.start(self.clock.now())
        due_s = self.clock.now().uptime_s
        try:
            while not stop.is_set():
                outcome = self.step()
                if each:
                    each(outcome)
                due_s = next_due(due_s, self.clock.now().uptime_s, self.current_period_s)
                self.clock.wait_until(due_s, stop)
        finally:
            self._finish()

    def step(self) -> Outcome:
        """Process one sample: collect, evaluate, freeze evidence, aggregate, commit and send."""
        sample = self._collect()
        now = sample.at
        self._reset_machines(now)
        outcome = self.pipeline.step(sample, now, own_verdicts(self.limits, self.delivery.last_damage, now))
        for remark in outcome.remarks:
            log.info(remark)
        self._freeze_evidence(outcome, now)
        self.delivery.add_telemetry(self.telemetry.step(outcome.features, now))
        self.delivery.commit_and_send(now, self.telemetry.numbers_ahead)
        return outcome

    @property
    def current_period_s(self) -> float:
        """Seconds between samples at the current degradation level."""
        return self.period_s * self.limits.level.slowdown

    def _collect(self) -> Sample:
        """Read the device and the agent's own cost, and keep to the budgets."""
        sample = self.collection.sample(self.clock.now())
        self._log_failing_collectors()
        uplink = self.delivery.uplink
        sent, late = float(uplink.sent_bytes), float(uplink.late_bytes)
        counts = {SENT: sent, MALFORMED_EXPECTED: float(uplink.malformed_expected)}
        sample = replace(sample, values={**sample.values, **counts})
        self.presence.metrics = len(sample.values)
        # a lower level sends no smaller backlog, so the backlog does not count
        if self.limits.step({**sample.values, SENT: sent - late}, sample.at.uptime_s):
            self._apply_degradation_level()
        return sample

    def _reset_machines(self, now: Instant) -> None:
        """Let the machines learn anew that `edge-agent machine reset` has named."""
        for name in self.resets.take(now.uptime_s) if self.resets else ():
            if not self.pipeline.reset_machine(name):
                log.warning("machine %s is not configured; nothing was reset", name)

    def _log_failing_collectors(self) -> None:
        """Log a collector once when it starts to fail and once when it recovers."""
        failing = self.collection.failing
        for name in failing.keys() - self._failing_logged:
            log.warning("collector %s can't read: %s", name, failing[name])
        for name in self._failing_logged - failing.keys():
            log.info("collector %s reads again", name)
        self._failing_logged = set(failing)

    def _apply_degradation_level(self) -> None:
        level, exceeded = self.limits.level, ", ".join(one.name for one in self.limits.excesses)
        cause = f": over budget for {exceeded}" if exceeded else ""
        log.warning("degradation level is now %s%s", level.name.lower(), cause)
        self.delivery.add_telemetry(self.telemetry.change_level(level))

    def _freeze_evidence(self, outcome: Outcome, now: Instant) -> None:
        """Hand over the findings, each with its evidence, and the second halves of evidence that are due."""
        self.evidence.add(now.uptime_s, outcome.features)
        for announcement in outcome.announcements:
            finding = announcement.finding
            self.delivery.add([finding, *self.evidence.freeze(announcement, now)])
            level = logging.INFO if finding.severity is Severity.INFO else logging.WARNING
            log.log(level, "%s %s on %s: %s", finding.phase, finding.fault, finding.component, finding.reason)
        self.delivery.add(self.evidence.due(now))

    def _finish(self) -> None:
        self.delivery.add_telemetry(self.telemetry.finish())
        self.delivery.commit_and_send(self.clock.now(), self.telemetry.numbers_ahead)
        self.delivery.stop(self.clock)


def next_due(due_s: float, now_s: float, period_s: float) -> float:
    """Return the next multiple of the period after now: missed samples are skipped, never taken in a burst."""
    missed = max(0, int((now_s - due_s) / period_s))
    return due_s + (missed + 1) * period_s
