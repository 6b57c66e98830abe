"""Findings: one opening for a lasting fault, updates only on relevant changes, one clearing."""

from collections.abc import Container, Sequence
from dataclasses import replace

from edge_agent.detection.findings import (
    BLIND_CLEAR_AFTER_S,
    CLEAR_AFTER_S,
    RESUMED_CLEAR_AFTER_S,
    Announcement,
    Findings,
)
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.faults import DetectorKind, Severity
from edge_agent.protocol.records import Carrier, Impact, Phase
from tests.builders import an_instant

FREE = "system.filesystem.usage{system.filesystem.mountpoint=/data,system.filesystem.state=free}"
VERSIONS: dict[str, str] = {kind: f"{kind}-1" for kind in DetectorKind}


def a_verdict(likely_s: float | None = None) -> Verdict:
    impact = None if likely_s is None else Impact(low_s=likely_s, likely_s=likely_s, high_s=likely_s)
    return Verdict(
        fault="disk.filling",
        component="/data",
        confidence=0.9,
        reason="it fills",
        basis=Basis(evaluated=(FREE,)),
        impact=impact,
    )


def reported(
    findings: Findings, start_s: int, verdicts: Sequence[Verdict | None], present: Container[str] = (FREE,)
) -> list[tuple[int, Announcement]]:
    """Feed one verdict (or none) a second; return what was published, with the second."""
    return [
        (start_s + second, announcement)
        for second, verdict in enumerate(verdicts)
        for announcement in findings.step([verdict] if verdict else [], present, an_instant(start_s + second))
    ]


def phases(reported: list[tuple[int, Announcement]]) -> list[tuple[int, Phase]]:
    return [(second, announcement.finding.phase) for second, announcement in reported]


def test_a_fault_opens_once_when_it_has_lasted_and_clears_once_when_it_stays_away() -> None:
    gone = int(CLEAR_AFTER_S) + 30
    published = reported(Findings(VERSIONS), 0, [a_verdict()] * 50 + [None] * gone)
    assert phases(published) == [(3, Phase.OPEN), (49 + int(CLEAR_AFTER_S), Phase.CLEAR)]


def test_a_momentary_verdict_is_not_published() -> None:
    assert reported(Findings(VERSIONS), 0, [a_verdict(), a_verdict(), *[None] * 200]) == []


def test_a_short_absence_does_not_clear_a_finding() -> None:
    published = reported(Findings(VERSIONS), 0, ([a_verdict()] * 10 + [None] * 20) * 5)
    assert phases(published) == [(3, Phase.OPEN)]


def test_a_countdown_that_runs_as_expected_is_updated_only_after_half_of_it() -> None:
    published = reported(Findings(VERSIONS), 0, [a_verdict(400.0 - second) for second in range(300)])
    assert phases(published) == [(3, Phase.OPEN), (202, Phase.UPDATE)]


def test_the_impact_is_published_once() -> None:
    published = reported(
        Findings(VERSIONS), 0, [a_verdict(15.0 - second) for second in range(15)] + [a_verdict(0.0)] * 100
    )
    assert phases(published) == [(3, Phase.OPEN), (15, Phase.UPDATE)]


def test_a_changed_time_of_impact_is_published() -> None:
    published = reported(Findings(VERSIONS), 0, [a_verdict(4000.0)] * 10 + [a_verdict(2500.0)] * 10)
    assert phases(published) == [(3, Phase.OPEN), (10, Phase.UPDATE)]


def test_a_rising_severity_is_published_and_a_falling_one_is_not() -> None:
    info, usual = replace(a_verdict(), severity=Severity.INFO), a_verdict()
    published = reported(Findings(VERSIONS), 0, [info] * 10 + [usual] * 10 + [info] * 10)
    assert phases(published) == [(3, Phase.OPEN), (10, Phase.UPDATE)]
    assert [one.finding.severity for _, one in published] == [Severity.INFO, Severity.WARNING]


def test_the_same_samples_give_the_same_findings_with_the_same_ids() -> None:
    verdicts = [a_verdict(400.0 - second) for second in range(300)]
    first, second = (reported(Findings(VERSIONS), 0, verdicts) for _ in range(2))
    assert [one.finding for _, one in first] == [one.finding for _, one in second]
    assert len({one.finding.finding_id for _, one in first}) == 1


def test_a_recurring_fault_is_another_finding() -> None:
    gone: list[Verdict | None] = [None] * (int(CLEAR_AFTER_S) + 10)
    published = reported(Findings(VERSIONS), 0, [*[a_verdict()] * 10, *gone, *[a_verdict()] * 10])
    assert len({one.finding.finding_id for _, one in published}) == 2


def test_a_finding_that_was_open_at_a_restart_keeps_its_id_or_is_cleared() -> None:
    (opened,) = reported(Findings(VERSIONS), 0, [a_verdict()] * 4)
    goes_on, is_over = Findings(VERSIONS), Findings(VERSIONS)
    for findings in (goes_on, is_over):
        findings.resume([opened[1].finding], an_instant(100))
    published = reported(goes_on, 100, [a_verdict(400.0 - second) for second in range(200)])
    assert [one.finding.phase for _, one in published] == [Phase.UPDATE]
    (cleared,) = reported(is_over, 100, [None] * (int(RESUMED_CLEAR_AFTER_S) + 10))
    assert cleared[1].finding.phase is Phase.CLEAR
    assert {one.finding.finding_id for _, one in [*published, cleared]} == {opened[1].finding.finding_id}


def test_missing_readings_clear_no_finding_until_the_thing_is_removed() -> None:
    findings = Findings(VERSIONS)
    reported(findings, 0, [a_verdict()] * 10)
    assert reported(findings, 10, [None] * 600, present=()) == [], "the collector can't read: that is no recovery"
    (cleared,) = reported(findings, 610, [None] * int(BLIND_CLEAR_AFTER_S), present=())
    assert "unmounted" in cleared[1].finding.reason


def test_a_very_long_mount_point_is_shortened() -> None:
    mount = "/var/lib/" + "x" * 300
    verdict = Verdict(
        fault="disk.filling", component=mount, confidence=1, reason="it fills", basis=Basis(evaluated=(FREE,)),
        carriers=(Carrier(metric=FREE.replace("/data", mount), value=1, unit="By", share=1),),
    )  # fmt: skip
    (opened,) = reported(Findings(VERSIONS), 0, [verdict] * 5)
    assert len(opened[1].finding.component) == 200


def test_the_version_names_the_network_only_if_the_confidence_is_from_it_and_keeps_it_over_a_restart() -> None:
    (_, without), *_ = reported(Findings(VERSIONS), 0, [a_verdict()] * 5)
    (_, with_one), *_ = reported(Findings(VERSIONS), 0, [replace(a_verdict(), network="persistence-2")] * 5)
    assert without.finding.detector.version == "trend-1"
    assert with_one.finding.detector.version == "trend-1/persistence-2"

    resumed = Findings(VERSIONS)
    resumed.resume([with_one.finding], an_instant(5))
    ((_, cleared),) = reported(resumed, 6, [None] * 1000)
    assert cleared.finding.detector.version == "trend-1/persistence-2"


def test_a_finding_that_is_no_longer_evaluated_is_updated_once_and_again_when_it_is() -> None:
    blocked = replace(a_verdict(), not_evaluated="samples are late")
    published = reported(Findings(VERSIONS), 0, [a_verdict()] * 5 + [blocked] * 5 + [a_verdict()] * 5)

    assert phases(published) == [(3, Phase.OPEN), (5, Phase.UPDATE), (10, Phase.UPDATE)]
    assert [one.finding.reason for _, one in published] == [
        "it fills", "it fills. Not evaluated now: samples are late", "it fills",
    ]  # fmt: skip
