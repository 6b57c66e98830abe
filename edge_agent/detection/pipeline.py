"""The pipeline: one `step(sample, now)` from readings to findings. The same samples give the same findings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from edge_agent.detection.anomaly import Alarms
from edge_agent.detection.anomaly.explanation import anomaly_verdict
from edge_agent.detection.anomaly.scorer import DETECTOR, Score, Scorer
from edge_agent.detection.features import Features
from edge_agent.detection.findings import RESUMED_CLEAR_AFTER_S, Announcement, Findings, published_component
from edge_agent.detection.machine import Machines
from edge_agent.detection.machine.explanation import FAULT as MACHINE_FAULT
from edge_agent.detection.machine.machines import VERSION as MACHINES_VERSION
from edge_agent.detection.network import Network
from edge_agent.detection.relations import Relations
from edge_agent.detection.relations.quantities import Quantity, quantity_of
from edge_agent.detection.rules import Rules
from edge_agent.detection.trends import Expected, Trends
from edge_agent.detection.verdicts import Verdict, resumed_verdict
from edge_agent.protocol.faults import FAULTS, DetectorKind, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import METRICS, series_name
from edge_agent.protocol.records import Finding
from edge_agent.sample import Sample

RULES_VERSION = "rules-3"
TRENDS_VERSION = "trends-4"
RESUMED_ROWS = 15  # after a start, until the scorer's means are filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of one sample: findings to publish, its features, and the score if a row was completed.

    `remarks` are lines for the log.
    """

    announcements: list[Announcement]
    features: Mapping[str, float]
    score: Score | None
    remarks: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True, eq=False)
class Pipeline:
    """Evaluates the samples of one device, in the order of its uptime.

    `horizon_s`: how far ahead a trend may warn. `false_per_week`: false cases of the anomaly score. `anomalies`:
    severity of anomalies, and of `thermal.cooling`. `relations` have their own rate, and evaluate the rows of the
    scorer; without a scorer they have no effect. `machines` stand beside the device; what changes too slowly for them
    is left to the scorer. `network` tells whether a trend goes on.
    """

    period_s: float
    horizon_s: float
    scorer: Scorer | None
    relations: Relations | None = None
    machines: Machines = field(default_factory=Machines)
    false_per_week: float = 1.0
    anomalies: Severity = Severity.INFO
    network: Network | None = None
    _features: Features = field(init=False, default_factory=Features)
    _rules: Rules = field(init=False, default_factory=Rules)
    _trends: Trends = field(init=False)
    _alarms: Alarms = field(init=False)
    _findings: Findings = field(init=False)
    _anomaly: Verdict | None = field(init=False, default=None)
    _violated: list[Verdict] = field(init=False, default_factory=list)
    _resumed_rows: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._trends = Trends(self.period_s, self.horizon_s, self.network)
        step_s = self.scorer.step_s if self.scorer else 60.0
        self._alarms = Alarms(false_per_week=self.false_per_week, step_s=step_s)
        of_relations = dict.fromkeys(self.relations.faults, self.relations.name) if self.relations else {}
        self._findings = Findings(_VERSIONS | of_relations)

    def resume(self, open_findings: Iterable[Finding], now: Instant) -> None:
        """Resume the findings that were open when the agent stopped: each continues, or is cleared."""
        findings = list(open_findings)
        self._findings.resume(findings, now)
        for finding in findings:
            if finding.detector.judge is DetectorKind.TREND:
                is_case = finding.severity is not Severity.INFO
                until_s = now.uptime_s + RESUMED_CLEAR_AFTER_S if is_case else 0.0
                self._trends.resume(finding.fault, finding.component, until_s)
            elif finding.fault == MACHINE_FAULT:
                self.machines.resume(finding)
            elif finding.detector.judge is DetectorKind.MODEL:
                self._resume_model(finding)
            else:
                self._rules.resume(finding)

    def _resume_model(self, finding: Finding) -> None:
        """Keep the verdict of the model until it has enough rows to evaluate again."""
        if not self.scorer:
            return
        if finding.fault == "anomaly.unknown":
            self._alarms.resume()
            self._anomaly, self._resumed_rows = resumed_verdict(finding), RESUMED_ROWS
        elif self.relations:
            self.relations.resume(finding)
            self._violated.append(resumed_verdict(finding))

    def expect(self, expected: Iterable[Expected]) -> None:
        """Replace what staff expect of this device: it is a note from now on."""
        self._trends.expect(expected)

    def export_state(self) -> dict[str, object]:
        """Return the learned state of the detectors, a part for each, fit for JSON."""
        return {name: part.export_state() for name, part in self._learners().items()}

    def restore_state(self, state: Mapping[str, object]) -> list[str]:
        """Restore an exported state; a part that can't be used is dropped. Return a reason for each dropped part."""
        if not state.keys() & {"scorer", "trends", "alarms", "relations", "machines"}:
            return ["the state has no known part"]
        dropped = []
        for name, part in self._learners().items():
            learned = state.get(name, {})
            try:
                if learned:
                    part.restore_state(_mapping(name, learned))
            except ValueError as error:
                dropped.append(str(error))
        return dropped

    def reset_machine(self, name: str) -> bool:
        """Let a machine learn a new healthy start; return whether there is one of this name."""
        return self.machines.reset(name)

    @property
    def must_save(self) -> bool:
        """Whether the learned state changed so that it is to be saved now."""
        return self.machines.must_save

    def mark_saved(self) -> None:
        """Note that the learned state was saved."""
        self.machines.mark_saved()

    def _learners(self) -> dict[str, Scorer | Trends | Alarms | Relations | Machines]:
        learners: dict[str, Scorer | Trends | Alarms | Relations | Machines] = {"trends": self._trends}
        if self.machines.series:
            learners["machines"] = self.machines
        if self.scorer:
            learners |= {"scorer": self.scorer, "alarms": self._alarms}
        if self.relations:
            learners["relations"] = self.relations
        return learners

    def step(self, sample: Sample, now: Instant, self_verdicts: Iterable[Verdict] = ()) -> Outcome:
        """Evaluate one sample at the instant `now`; `self_verdicts` are the agent's verdicts on itself."""
        features = self._features.step(sample)
        verdicts = [*self_verdicts, *self._rules.step(features, now), *self._trends.step(features, now)]
        verdicts += self.machines.step(features, now.uptime_s)
        time_s = now.wall.timestamp() if now.synced else None
        score = self.scorer.step(_evaluated(features), now.uptime_s, time_s) if self.scorer else None
        if score is not None and self.relations and self.scorer:
            self._violated = self.relations.step(self.scorer.row)
        verdicts += self._unexplained_violations(verdicts)
        if score is not None:
            self._anomaly = self._unexplained_anomaly(verdicts, score)
        if self._anomaly is not None:
            verdicts.append(self._anomaly)
        published = [self._as_expected(verdict, now) for verdict in verdicts]
        return Outcome(
            announcements=self._findings.step(published, features, now),
            features=features,
            score=score,
            remarks=tuple(self.machines.take_remarks()),
        )

    def _as_expected(self, verdict: Verdict, now: Instant) -> Verdict:
        """Make a note of what staff expect of this device. Trends have decided by their headroom before."""
        fault = FAULTS[verdict.fault]
        severity = verdict.severity or fault.severity
        if fault.detector is DetectorKind.TREND or severity in (Severity.CRITICAL, Severity.INFO):
            return verdict
        allowed = self._trends.expected.naming(verdict.fault, published_component(verdict.component), now)
        if allowed is None:
            return verdict
        return replace(verdict, severity=Severity.INFO, reason=f"{verdict.reason}; {allowed.reason}")

    def _unexplained_anomaly(self, verdicts: Iterable[Verdict], score: Score) -> Verdict | None:
        """Return the anomaly of a row unless it is explained; it keeps its component while it is active."""
        if self._resumed_rows:
            self._resumed_rows -= 1
            return self._anomaly
        explained = {series for verdict in verdicts for series in (*verdict.basis.evaluated, *verdict.basis.explained)}
        decision = self._alarms.step(score.strength if score.ready else None)
        verdict = anomaly_verdict(score, decision, explained, self.anomalies)
        if verdict and self._anomaly and not decision.alarm:
            # the largest contribution may change from row to row
            verdict = replace(verdict, component=self._anomaly.component)
        return verdict

    def _unexplained_violations(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """Return the violated relations that no rule or trend explains."""
        verdicts = list(verdicts)
        certain = {series for verdict in verdicts for series in verdict.basis.evaluated}
        hot = any(map(_reports_heat, verdicts))
        return [
            replace(verdict, severity=self.anomalies) if verdict.fault == "thermal.cooling" else verdict
            for verdict in self._violated
            if certain.isdisjoint(verdict.basis.evaluated) and not (hot and verdict.fault == "thermal.cooling")
        ]


def _reports_heat(verdict: Verdict) -> bool:
    """Return whether a rule reports that the processor is too hot."""
    of_processor = any(quantity_of(series) is Quantity.HEAT for series in verdict.basis.evaluated)
    return verdict.fault == "thermal.throttled" or (verdict.fault == "thermal.throttling" and of_processor)


def _mapping(name: str, part: object) -> Mapping[str, object]:
    if not isinstance(part, dict):
        raise ValueError(f"{name}: no mapping")
    return part


def _evaluated(features: Mapping[str, float]) -> Mapping[str, float]:
    """Exclude series that can't be anomalous: limits are constant, and uptime only rises."""
    return {series: value for series, value in features.items() if series_name(series) not in _NOT_EVALUATED}


_VERSIONS: dict[str, str] = {
    DetectorKind.RULE: RULES_VERSION,
    DetectorKind.TREND: TRENDS_VERSION,
    DetectorKind.MODEL: DETECTOR,
    MACHINE_FAULT: MACHINES_VERSION,
}
_NOT_EVALUATED = frozenset(name for name in METRICS if name.endswith(".limit")) | {
    "system.uptime",
    "forewarn.agent.sent",
    "forewarn.agent.expected.malformed",
}
