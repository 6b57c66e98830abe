"""Findings: verdicts that last. They open and clear with hysteresis, and speak again only when there is news.

What flows in: the verdicts of one sample. What flows out: the findings to say now, each with its basis.
"""

import uuid
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.faults import FAULTS, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Detector, Finding, Phase
from edge_agent.protocol.wording import duration

OPEN_AFTER_S = 3.0  # a verdict that does not outlast three seconds is not told to anybody
CLEAR_AFTER_S = 60.0  # a finding whose verdict is away for a minute is over
BLIND_CLEAR_AFTER_S = 3600.0  # what can't be read for an hour is gone: unmounted, unplugged
RESUMED_CLEAR_AFTER_S = 900.0  # after a restart the judges need time to see again what they saw
NEWS_FACTOR = 1.25  # the expected instant moved by a quarter of what is left: worth a word
_LONGEST = 200  # of a component, in a record
NEAR_S = 20.0  # from here on the countdown says it all
_NAMESPACE = uuid.UUID("6f1d7c1e-6c0c-5b8e-9a3d-1f0e7a5b9c42")


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """A finding to be said, and what it rests on (evidence is frozen when it opens)."""

    finding: Finding
    basis: Basis


@dataclass(slots=True)
class _Standing:
    """A fault that holds now or did a moment ago."""

    finding_id: str
    since: Instant
    last_held: Instant
    verdict: Verdict
    opened: bool = False
    absent_s: float = 0.0  # for how long it has been looked for in vain; time without readings does not count
    blind_s: float = 0.0
    clear_after_s: float = CLEAR_AFTER_S
    said_at_s: float = 0.0
    said_likely_s: float | None = None
    said_severity: Severity | None = None


@dataclass(slots=True)
class Findings:
    """All faults of the device that stand, by (fault, component)."""

    versions: dict[str, str]  # detector version by judge, or by fault where that has a detector of its own
    _standing: dict[tuple[str, str], _Standing] = field(default_factory=dict)
    _stepped_at_s: float | None = None

    def resume(self, findings: Iterable[Finding], now: Instant) -> None:
        """Take up what stood when the agent stopped, as if it held now: it goes on under its id, or is cleared."""
        for finding in findings:
            verdict = Verdict(
                fault=finding.fault,
                component=finding.component,
                confidence=finding.confidence,
                reason=finding.reason,
                severity=finding.severity,
                carriers=finding.carriers,
                basis=Basis(judged=tuple(carrier.metric for carrier in finding.carriers)),
            )
            standing = _Standing(finding.finding_id, finding.since, now, verdict, opened=True)
            standing.said_severity = finding.severity
            standing.clear_after_s = RESUMED_CLEAR_AFTER_S
            self._standing[finding.fault, finding.component] = standing

    def step(self, verdicts: Iterable[Verdict], present: Container[str], now: Instant) -> list[Announcement]:
        """Compare what holds now with what was said, and return what is new: openings, updates, clearings.

        `present` are the series of this sample: a finding whose readings are missing is not refuted.
        """
        passed_s = now.uptime_s - self._stepped_at_s if self._stepped_at_s is not None else 0.0
        self._stepped_at_s = now.uptime_s
        for verdict in verdicts:
            key = (verdict.fault, verdict.component)
            standing = self._standing.setdefault(key, _Standing(_name(verdict, now), now, now, verdict))
            standing.verdict, standing.last_held = verdict, now
            standing.absent_s, standing.blind_s, standing.clear_after_s = 0.0, 0.0, CLEAR_AFTER_S
        for standing in self._standing.values():
            if standing.last_held is not now:
                _age(standing, present, passed_s)
        news = [said for standing in self._standing.values() if (said := self._news(standing, now))]
        self._standing = {key: kept for key, kept in self._standing.items() if not _over(kept)}
        return news

    def _news(self, standing: _Standing, now: Instant) -> Announcement | None:
        if _over(standing):
            return self._say(standing, Phase.CLEAR, now) if standing.opened else None
        if standing.last_held is not now:
            return None
        if not standing.opened:
            lasted_s = now.uptime_s - standing.since.uptime_s
            return self._say(standing, Phase.OPEN, now) if lasted_s >= OPEN_AFTER_S else None
        return self._say(standing, Phase.UPDATE, now) if _moved(standing, now) else None

    def _say(self, standing: _Standing, phase: Phase, now: Instant) -> Announcement:
        verdict = standing.verdict
        standing.opened, standing.said_at_s = True, now.uptime_s
        standing.said_likely_s = verdict.impact.likely_s if verdict.impact else None
        standing.said_severity = _severity(verdict)
        fault = FAULTS[verdict.fault]
        over = phase is Phase.CLEAR
        finding = Finding(
            finding_id=standing.finding_id,
            fault=verdict.fault,
            component=_short(verdict.component),
            phase=phase,
            at=now,
            since=standing.since,
            severity=standing.said_severity,
            confidence=verdict.confidence,
            impact=None if over else verdict.impact,
            reason=_why_over(standing) if over else verdict.reason,
            carriers=verdict.carriers,
            detector=Detector(
                judge=fault.detector, version=self.versions.get(fault.code) or self.versions[fault.detector]
            ),
            evidence_id=str(uuid.uuid5(uuid.UUID(standing.finding_id), "evidence")),
        )
        return Announcement(finding=finding, basis=verdict.basis)


def _short(component: str) -> str:
    """Cut a very long mount point to what a record takes; its end says more than its beginning."""
    return component if len(component) <= _LONGEST else "…" + component[1 - _LONGEST :]


def _name(verdict: Verdict, since: Instant) -> str:
    """Make an id out of what is said: the same samples give the same findings, after a crash too."""
    key = f"{since.boot_id}/{verdict.fault}/{verdict.component}/{since.uptime_s:.3f}"
    return str(uuid.uuid5(_NAMESPACE, key))


def _age(standing: _Standing, present: Container[str], passed_s: float) -> None:
    judged = standing.verdict.basis.judged
    if not judged or any(series in present for series in judged):
        standing.absent_s += passed_s
    else:
        standing.blind_s += passed_s


def _over(standing: _Standing) -> bool:
    gone = standing.absent_s >= (standing.clear_after_s if standing.opened else OPEN_AFTER_S)
    return gone or standing.blind_s >= (BLIND_CLEAR_AFTER_S if standing.opened else OPEN_AFTER_S)


def _why_over(standing: _Standing) -> str:
    if standing.blind_s >= BLIND_CLEAR_AFTER_S:
        return f"can't be read since {duration(standing.blind_s)}: unmounted or unplugged"
    return f"over since {duration(standing.absent_s)}"


def _severity(verdict: Verdict) -> Severity:
    return verdict.severity or FAULTS[verdict.fault].severity


def _moved(standing: _Standing, now: Instant) -> bool:
    """Say whether it is more urgent, the instant of impact moved by what is worth a word, or half the time is gone."""
    if standing.said_severity is not None and _severity(standing.verdict).rank < standing.said_severity.rank:
        return True
    impact, said = standing.verdict.impact, standing.said_likely_s
    if impact is None or said is None:
        return (impact is None) != (said is None)
    if impact.likely_s == 0:
        return said > 0  # it is here
    expected_s = said - (now.uptime_s - standing.said_at_s)
    if expected_s <= 0:
        return impact.likely_s > 60  # it did not come, and is further off than was said
    if max(impact.likely_s, expected_s) < NEAR_S:
        return False
    half_gone = impact.likely_s <= said / 2
    return half_gone or not 1 / NEWS_FACTOR <= impact.likely_s / expected_s <= NEWS_FACTOR
