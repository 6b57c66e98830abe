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
RESUMED_CLEAR_AFTER_S = 900.0  # after a restart the detectors need time to see again what they saw
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
class _Tracked:
    """A fault that holds now or did a moment ago."""

    finding_id: str
    since: Instant
    last_seen: Instant
    verdict: Verdict
    opened: bool = False
    absent_s: float = 0.0  # for how long it has been looked for in vain; time without readings does not count
    blind_s: float = 0.0
    clear_after_s: float = CLEAR_AFTER_S
    published_at_s: float = 0.0
    published_likely_s: float | None = None
    published_severity: Severity | None = None


@dataclass(slots=True)
class Findings:
    """All faults of the device that stand, by (fault, component)."""

    versions: dict[str, str]  # detector version by judge, or by fault where that has a detector of its own
    _tracked: dict[tuple[str, str], _Tracked] = field(default_factory=dict)
    _stepped_at_s: float | None = None

    def resume(self, findings: Iterable[Finding], now: Instant) -> None:
        """Resume what was open when the agent stopped, as if it held now: it continues under its id, or is cleared."""
        for finding in findings:
            verdict = Verdict(
                fault=finding.fault,
                component=finding.component,
                confidence=finding.confidence,
                reason=finding.reason,
                severity=finding.severity,
                carriers=finding.carriers,
                basis=Basis(evaluated=tuple(carrier.metric for carrier in finding.carriers)),
            )
            tracked = _Tracked(finding.finding_id, finding.since, now, verdict, opened=True)
            tracked.published_severity = finding.severity
            tracked.clear_after_s = RESUMED_CLEAR_AFTER_S
            self._tracked[finding.fault, finding.component] = tracked

    def step(self, verdicts: Iterable[Verdict], present: Container[str], now: Instant) -> list[Announcement]:
        """Compare what holds now with what was said, and return what is new: openings, updates, clearings.

        `present` are the series of this sample: a finding whose readings are missing is not refuted.
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
        news = [published for tracked in self._tracked.values() if (published := self._news(tracked, now))]
        self._tracked = {key: kept for key, kept in self._tracked.items() if not _over(kept)}
        return news

    def _news(self, tracked: _Tracked, now: Instant) -> Announcement | None:
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
        tracked.published_severity = _severity(verdict)
        fault = FAULTS[verdict.fault]
        over = phase is Phase.CLEAR
        finding = Finding(
            finding_id=tracked.finding_id,
            fault=verdict.fault,
            component=_short(verdict.component),
            phase=phase,
            at=now,
            since=tracked.since,
            severity=tracked.published_severity,
            confidence=verdict.confidence,
            impact=None if over else verdict.impact,
            reason=_why_over(tracked) if over else verdict.reason,
            carriers=verdict.carriers,
            detector=Detector(
                judge=fault.detector, version=self.versions.get(fault.code) or self.versions[fault.detector]
            ),
            evidence_id=str(uuid.uuid5(uuid.UUID(tracked.finding_id), "evidence")),
        )
        return Announcement(finding=finding, basis=verdict.basis)


def _short(component: str) -> str:
    """Cut a very long mount point to what a record takes; its end says more than its beginning."""
    return component if len(component) <= _LONGEST else "…" + component[1 - _LONGEST :]


def _name(verdict: Verdict, since: Instant) -> str:
    """Make an id out of what is said: the same samples give the same findings, after a crash too."""
    key = f"{since.boot_id}/{verdict.fault}/{verdict.component}/{since.uptime_s:.3f}"
    return str(uuid.uuid5(_NAMESPACE, key))


def _age(tracked: _Tracked, present: Container[str], passed_s: float) -> None:
    evaluated = tracked.verdict.basis.evaluated
    if not evaluated or any(series in present for series in evaluated):
        tracked.absent_s += passed_s
    else:
        tracked.blind_s += passed_s


def _over(tracked: _Tracked) -> bool:
    gone = tracked.absent_s >= (tracked.clear_after_s if tracked.opened else OPEN_AFTER_S)
    return gone or tracked.blind_s >= (BLIND_CLEAR_AFTER_S if tracked.opened else OPEN_AFTER_S)


def _why_over(tracked: _Tracked) -> str:
    if tracked.blind_s >= BLIND_CLEAR_AFTER_S:
        return f"can't be read since {duration(tracked.blind_s)}: unmounted or unplugged"
    return f"over since {duration(tracked.absent_s)}"


def _severity(verdict: Verdict) -> Severity:
    return verdict.severity or FAULTS[verdict.fault].severity


def _moved(tracked: _Tracked, now: Instant) -> bool:
    """Say whether it is more urgent, the instant of impact moved by what is worth a word, or half the time is gone."""
    if tracked.published_severity is not None and _severity(tracked.verdict).rank < tracked.published_severity.rank:
        return True
    impact, published = tracked.verdict.impact, tracked.published_likely_s
    if impact is None or published is None:
        return (impact is None) != (published is None)
    if impact.likely_s == 0:
        return published > 0  # it is here
    expected_s = published - (now.uptime_s - tracked.published_at_s)
    if expected_s <= 0:
        return impact.likely_s > 60  # it did not come, and is further off than was said
    if max(impact.likely_s, expected_s) < NEAR_S:
        return False
    half_gone = impact.likely_s <= published / 2
    return half_gone or not 1 / NEWS_FACTOR <= impact.likely_s / expected_s <= NEWS_FACTOR
