"""Throttling for heat is reported; throttling for undervoltage, for a moment or by design is not."""

from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import series
from edge_agent.protocol.records import Phase
from edge_agent.sample import Sample
from tests.builders import an_instant
from tests.edge_agent.detection.test_rules import findings, held, seconds

HEAT, SOFT, VOLTAGE = (series("forewarn.cpu.throttled", forewarn__cause=c) for c in ("heat", "soft_limit", "voltage"))


def test_a_processor_throttled_for_a_minute_is_reported_until_ten_minutes_without() -> None:
    published = held({HEAT: slow, SOFT: 0.0} for slow in [0.0] * 10 + [1.0] * 100 + [0.0] * 700)
    assert seconds(published, "thermal.throttled")[0] == 70
    assert seconds(published, "thermal.throttled")[-1] in range(709, 740)
    assert {verdict.severity for _, verdict in published} == {None}


def test_firmware_that_switches_quickly_near_its_limit_counts() -> None:
    flicker = ([1.0] * 10 + [0.0] * 10) * 10
    assert seconds(held({HEAT: slow, SOFT: 0.0} for slow in flicker), "thermal.throttled")


def test_a_short_peak_is_not_reported() -> None:
    assert not held({HEAT: slow, SOFT: 0.0} for slow in ([1.0] * 20 + [0.0] * 60) * 10)


def test_the_soft_limit_has_severity_info() -> None:
    published = held([{HEAT: 0.0, SOFT: 1.0}] * 200)
    assert {verdict.severity for _, verdict in published} == {Severity.INFO}


def test_undervoltage_is_another_fault() -> None:
    assert not held([{HEAT: 0.0, SOFT: 0.0, VOLTAGE: 1.0}] * 1000)


def test_heat_that_lasts_is_one_finding_and_clears_by_itself() -> None:
    rows = [{HEAT: 1.0, SOFT: 1.0}] * 200 + [{HEAT: 0.0, SOFT: 0.0}] * 800
    reported = findings(Sample(at=an_instant(t), values=row) for t, row in enumerate(rows))
    assert [(one.fault, one.phase) for one in reported] == [
        ("thermal.throttled", Phase.OPEN),
        ("thermal.throttled", Phase.CLEAR),
    ]
