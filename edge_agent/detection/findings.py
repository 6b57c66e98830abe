"""Findings: verdicts that persist. They open and clear with hysteresis, and are updated only on a relevant change.

What flows in: the verdicts of one sample. What flows out: the findings to publish now, each with its basis.
"""

import uuid
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from edge_agent.detection.verdicts import Basis, Verdict, published_reason, published_version, resumed_verdict
from edge_agent.protocol.faults import FAULTS, Fault, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Detector, Finding, Phase
from edge_agent.protocol.wording import duration

OPEN_AFTER_S = 3.0  # a verdict that lasts for less than three seconds is not published
CLEAR_AFTER_S = 60.0  # a finding clears after a minute without its verdict
BLIND_CLEAR_AFTER_S = 3600.0  # a thing that can't be read for an hour was removed: unmounted, unplugged
RESUMED_CLEAR_AFTER_S = 900.0  # after a restart the detectors need time to detect the fault again
UPDATE_FACTOR = 1.25  # the expected time to impact changed by a quarter: publish an update
_LONGEST = 200  # characters of a component in a record
NEAR_S = 20.0  # closer to the impact, the published countdown is enough
_NAMESPACE = uuid.UUID("6f1d7c1e-6c0c-5b8e-9a3d-1f0e7a5b9c42")


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A finding to publish, and its basis (evidence is frozen when it opens)."""

    finding: Finding
    basis: Basis


@dataclass(slots=True)
class _Tracked:
    """A fault that holds now, or did recently."""

    finding_id: str
    since: Instant
    last_seen: Instant
    verdict: Verdict
    opened: bool = False
    absent_s: float = 0.0  # for how long its readings showed no fault; time without readings does not count
    blind_s: float = 0.0
    clear_after_s: float = CLEAR_AFTER_S
    published_at_s: float = 0.0
    published_likely_s: float | None = None
    published_severity: Severity | None = None
    published_not_evaluated: str = ""


@dataclass(slots=True)
class Findings:
    """All current faults of the device, by (fault, component)."""

    versions: dict[str, str]  # version by kind of detector, or by fault if that has its own detector
    _tracked: dict[tuple[str, str], _Tracked] = field(default_factory=dict)
    _stepped_at_s: float | None = None

    def resume(self, findings: Iterable[Finding], now: Instant) -> None:
        """Resume what was open when the agent stopped, as if it held now: it continues under its id, or is cleared."""
        for finding in findings:
            verdict = resumed_verdict(finding)
            tracked = _Tracked(finding.finding_id, finding.since, now, verdict, opened=True)
            tracked.published_severity, tracked.published_not_evaluated = finding.severity, verdict.not_evaluated
            tracked.clear_after_s = RESUMED_CLEAR_AFTER_S
            self._tracked[finding.fault, finding.component] = tracked

    def step(self, verdicts: Iterable[Verdict], present: Container[str], now: Instant) -> list[Announcement]:
        """Compare the current verdicts with the published findings; return openings, updates and clearings.

        `present` are the series of this sample: missing readings do not clear a finding.
        """
        passed_s = now.uptime_s - self._stepped_at_s if self._stepped_at_s is not None else 0.0
        self._stepped_at_s = now.uptime_s
        for verdict in verdicts:
            key = (verdict.fault, verdict.component)
            tracked = self._tracked.setdefault(key, _Tracked(_name(verdict, now), now, now, verdict))
            tracked.verdict, tracked.last_seen = verdict, now
            tracked.absent_s, tracked.blind_s, tracked.clear_after_s = 0.0, 0.0, CLEAR_AFTER_S
        for tracked in self._tracked.values():
            if tracked.last_seen is not now:
                _age(tracked, present, passed_s)
        changes = [change for tracked in self._tracked.values() if (change := self._change(tracked, now))]
        self._tracked = {key: kept for key, kept in self._tracked.items() if not _over(kept)}
        return changes

    def _change(self, tracked: _Tracked, now: Instant) -> Announcement | None:
        if _over(tracked):
            return self._announce(tracked, Phase.CLEAR, now) if tracked.opened else None
        if tracked.last_seen is not now:
            return None
        if not tracked.opened:
            lasted_s = now.uptime_s - tracked.since.uptime_s
            return self._announce(tracked, Phase.OPEN, now) if lasted_s >= OPEN_AFTER_S else None
        return self._announce(tracked, Phase.UPDATE, now) if _moved(tracked, now) else None

    def _announce(self, tracked: _Tracked, phase: Phase, now: Instant) -> Announcement:
        verdict = tracked.verdict
        tracked.opened, tracked.published_at_s = True, now.uptime_s
        tracked.published_likely_s = verdict.impact.likely_s if verdict.impact else None
        tracked.published_severity, tracked.published_not_evaluated = _severity(verdict), verdict.not_evaluated
        fault = FAULTS[verdict.fault]
        over = phase is Phase.CLEAR
        finding = Finding(
            finding_id=tracked.finding_id,
            fault=verdict.fault,
            component=published_component(verdict.component),
            phase=phase,
            at=now,
            since=tracked.since,
            severity=tracked.published_severity,
            confidence=verdict.confidence,
            impact=None if over else verdict.impact,
            reason=_reason_cleared(tracked) if over else published_reason(verdict),
            carriers=verdict.carriers,
            detector=Detector(judge=fault.detector, version=published_version(verdict, self._version(fault))),
            evidence_id=str(uuid.uuid5(uuid.UUID(tracked.finding_id), "evidence")),
        )
        return Announcement(finding=finding, basis=verdict.basis)

    def _version(self, fault: Fault) -> str:
        return self.versions.get(fault.code) or self.versions[fault.detector]


def published_component(component: str) -> str:
    """Shorten a very long mount point to the limit of a record; keep its end, which is more specific."""
    return component if len(component) <= _LONGEST else "…" + component[1 - _LONGEST :]


def _name(verdict: Verdict, since: Instant) -> str:
    """Derive an id from the content: the same samples give the same findings, after a crash, too."""
    key = f"{since.boot_id}/{verdict.fault}/{verdict.component}/{since.uptime_s:.3f}"
    return str(uuid.uuid5(_NAMESPACE, key))


def _age(tracked: _Tracked, present: Container[str], passed_s: float) -> None:
    evaluated = tracked.verdict.basis.evaluated
    if not evaluated or any(series in present for series in evaluated):
        tracked.absent_s += passed_s
    else:
        tracked.blind_s += passed_s


def _over(tracked: _Tracked) -> bool:
    absent = tracked.absent_s >= (tracked.clear_after_s if tracked.opened else OPEN_AFTER_S)
    return absent or tracked.blind_s >= (BLIND_CLEAR_AFTER_S if tracked.opened else OPEN_AFTER_S)


def _reason_cleared(tracked: _Tracked) -> str:
    if tracked.blind_s >= BLIND_CLEAR_AFTER_S:
        return f"no readings for {duration(tracked.blind_s)}: unmounted or unplugged"
    return f"the condition ended {duration(tracked.absent_s)} ago"


def _severity(verdict: Verdict) -> Severity:
    return verdict.severity or FAULTS[verdict.fault].severity


def _moved(tracked: _Tracked, now: Instant) -> bool:
    """Return whether the severity rose, the impact moved by UPDATE_FACTOR, half of it passed, or evaluation ended."""
    if tracked.verdict.not_evaluated != tracked.published_not_evaluated:
        return True
    if tracked.published_severity is not None and _severity(tracked.verdict).rank < tracked.published_severity.rank:
        return True
    impact, published = tracked.verdict.impact, tracked.published_likely_s
    if impact is None or published is None:
        return (impact is None) != (published is None)
    if impact.likely_s == 0:
        return published > 0  # the impact has happened
    expected_s = published - (now.uptime_s - tracked.published_at_s)
    if expected_s <= 0:
        return impact.likely_s > 60  # the impact did not happen, and is later than published
    if max(impact.likely_s, expected_s) < NEAR_S:
        return False
    half_passed = impact.likely_s <= published / 2
    return half_passed or not 1 / UPDATE_FACTOR <= impact.likely_s / expected_s <= UPDATE_FACTOR
