"""Replay a scenario through the pipeline of the device: which cases would open, when, and for what.

What flows in: a scenario, and how a device makes its pipeline. What flows out: the cases. At a reboot the pipeline is
made anew and gets its exported state and the open findings, as when the agent starts.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from edge_agent.assembly import persistence_network
from edge_agent.detection.findings import Announcement
from edge_agent.detection.pipeline import Pipeline
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Finding, Phase
from models.scenarios.scenario import Scenario

HORIZON_S = 72 * 3600.0  # the default of `detection.horizon_h`

Make = Callable[[float], Pipeline]


def shipped(period_s: float) -> Pipeline:
    """Return the pipeline of a device that samples at this period: rules and trends, without anomaly score."""
    return Pipeline(period_s=period_s, horizon_s=HORIZON_S, scorer=None, relations=None, network=persistence_network())


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case that opens, in seconds since the start: what the finding says when its severity is first above info."""

    opened_s: float
    fault: str
    component: str
    severity: Severity
    confidence: float
    reason: str
    likely_s: float | None
    cleared_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An announcement, and its time in seconds since the start."""

    at_s: float
    finding: Finding


def replay(scenario: Scenario, make: Make = shipped) -> list[Case]:
    """Return the cases that would open up to the last impact, in order."""
    cases: dict[str, Case] = {}
    for published in announcements(scenario, make):
        finding = published.finding
        known = cases.get(finding.finding_id)
        if finding.phase is Phase.CLEAR and known:
            cases[finding.finding_id] = replace(known, cleared_s=published.at_s)
        elif not known and finding.phase is not Phase.CLEAR and finding.severity is not Severity.INFO:
            cases[finding.finding_id] = _case(published)
    return list(cases.values())


def _case(published: Published) -> Case:
    finding = published.finding
    return Case(
        opened_s=published.at_s,
        fault=finding.fault,
        component=finding.component,
        severity=finding.severity,
        confidence=finding.confidence,
        reason=finding.reason,
        likely_s=finding.impact.likely_s if finding.impact else None,
    )


def announcements(scenario: Scenario, make: Make = shipped) -> Iterator[Published]:
    """Yield all that the device would publish, up to the last impact."""
    timeline = scenario.timeline
    end_s = max((impact.impact_s for impact in scenario.impacts), default=float("inf"))
    pipeline, boot = make(timeline.period_s), 0
    open_findings: dict[str, Finding] = {}
    for place, sample in enumerate(scenario.samples()):
        if timeline.t_s[place] > end_s:
            return
        if timeline.boot[place] != boot:
            boot = int(timeline.boot[place])
            state = json.loads(json.dumps(pipeline.export_state()))
            pipeline = make(timeline.period_s)
            pipeline.restore_state(state)
            pipeline.resume(open_findings.values(), sample.at)
        for announcement in pipeline.step(sample, sample.at).announcements:
            _remember(open_findings, announcement)
            yield Published(at_s=float(timeline.t_s[place]), finding=announcement.finding)


def _remember(open_findings: dict[str, Finding], announcement: Announcement) -> None:
    finding = announcement.finding
    if finding.phase is Phase.CLEAR:
        open_findings.pop(finding.finding_id, None)
    else:
        open_findings[finding.finding_id] = finding
