"""From lost cooling to a finding, hours before the device throttles itself."""

import pytest

from edge_agent.artifacts.fleet import load_fleet, shipped
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly import Scorer
from edge_agent.detection.relations import Relations
from edge_agent.protocol.records import Finding, Phase
from edge_agent.sample import Sample
from firmware_stubs.faults import CoolingLost, Fault
from firmware_stubs.machine import VirtualMachine
from tests.clocks import HandClock

HOUR_S = 3600.0
FAULT = CoolingLost(start_s=7 * HOUR_S, lasts_s=2 * HOUR_S)


def found(device: str, hours: float, *faults: Fault) -> list[Finding]:
    """Run a device, sampled every ten seconds, and return its findings."""
    clock = HandClock(HOUR_S)
    host = HostCollector(VirtualMachine(clock, device, faults))
    pipeline = Pipeline(
        period_s=10.0, horizon_s=72 * HOUR_S, scorer=Scorer(), relations=Relations(load_fleet(shipped()))
    )
    findings = []
    while clock.uptime_s < HOUR_S + hours * HOUR_S:
        clock.uptime_s += 10.0
        now = clock.now()
        outcome = pipeline.step(Sample(at=now, values=host.collect(now)), now)
        findings += [announcement.finding for announcement in outcome.announcements]
    return findings


@pytest.mark.parametrize("device", ["pump-07", "kiosk-01"])
def test_a_healthy_device_reports_nothing_for_its_first_hours(device: str) -> None:
    assert found(device, 8.0) == []


def test_lost_cooling_is_reported_more_than_an_hour_before_the_device_throttles_itself() -> None:
    findings = found("pump-07", 8.5, FAULT)
    (opened,) = [one for one in findings if one.fault == FAULT.code and one.phase is Phase.OPEN]
    assert opened.at.uptime_s < FAULT.impact_s - HOUR_S
    assert "usually" in opened.reason
    assert opened.detector.version == shipped().name
    cleared = [one.at.uptime_s for one in findings if one.fault == FAULT.code and one.phase is Phase.CLEAR]
    (hot,) = [one for one in findings if one.fault == "thermal.throttling" and one.phase is Phase.OPEN]
    assert [hot.at.uptime_s < at_s < hot.at.uptime_s + 120 for at_s in cleared] == [True]  # the rule takes over
