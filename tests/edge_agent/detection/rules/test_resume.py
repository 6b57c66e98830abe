"""A restart of the agent neither ends a finding that still holds nor keeps one that does not."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from edge_agent.detection import Pipeline
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series
from edge_agent.protocol.records import Finding, Phase
from edge_agent.sample import Sample
from tests.builders import BOOT, NOON
from tests.edge_agent.detection.test_rules import Row

HEAT = series("hw.temperature", hw__name="cpu_thermal/0")
HOLDS = series("forewarn.battery.capacity.utilization", hw__name="BAT0")
SIGNAL = series("forewarn.wifi.signal", network__interface__name="wlan0")
FAILED = series("systemd.unit.state", systemd__unit__active_state="failed", systemd__unit__name="app.service")
SLOWED = series("forewarn.cpu.throttled", forewarn__cause="heat")
MOVING: list[Row] = [{HEAT: 40.0 + number % 7} for number in range(500)]


def self_verdicts(pipeline: Pipeline, rows: Sequence[Row], begin_s: float, *, synced: bool = True) -> list[Finding]:
    """Evaluate a row every ten seconds."""
    reported = []
    for number, row in enumerate(rows):
        after_s = begin_s + 10.0 * number
        now = Instant(boot_id=BOOT, uptime_s=after_s, wall=NOON + timedelta(seconds=after_s), synced=synced)
        reported += [one.finding for one in pipeline.step(Sample(at=now, values=row), now).announcements]
    return reported


def a_pipeline() -> Pipeline:
    return Pipeline(period_s=10.0, horizon_s=3600.0, scorer=None)


@pytest.mark.parametrize(
    ("fault", "before", "bad", "well"),
    [
        ("battery.worn", [], {HOLDS: 0.4}, {HOLDS: 0.9}),
        ("wifi.weak", [], {SIGNAL: -90.0}, {SIGNAL: -60.0}),
        ("service.failed", [], {FAILED: 1.0}, {FAILED: 0.0}),
        ("thermal.throttled", [], {SLOWED: 1.0}, {SLOWED: 0.0}),
        ("sensor.stuck", MOVING, {HEAT: 48.5}, {HEAT: 48.0}),
        ("sensor.out_of_range", MOVING, {HEAT: -273.0}, {HEAT: 45.0}),
    ],
)
def test_a_resumed_finding_keeps_its_id_while_it_holds_and_is_cleared_otherwise(
    fault: str, before: list[Row], bad: Row, well: Row
) -> None:
    opened = self_verdicts(a_pipeline(), [*before, *[bad] * 1600], 0)[0]
    assert (opened.fault, opened.phase) == (fault, Phase.OPEN)
    at = Instant(boot_id=BOOT, uptime_s=50_000, wall=NOON, synced=True)

    holds = a_pipeline()
    holds.resume([opened], at)
    assert self_verdicts(holds, [bad] * 1000, 50_001) == []
    (cleared,) = self_verdicts(holds, [well] * 200, 60_001)
    assert (cleared.phase, cleared.finding_id) == (Phase.CLEAR, opened.finding_id)

    over = a_pipeline()
    over.resume([opened], at)
    (cleared,) = self_verdicts(over, [well] * 200, 50_001)
    assert (cleared.phase, cleared.finding_id) == (Phase.CLEAR, opened.finding_id)


def test_a_clock_that_is_still_unsynchronised_stays_reported() -> None:
    pipeline = a_pipeline()
    self_verdicts(pipeline, [{}] * 10, 0)
    (opened,) = self_verdicts(pipeline, [{}] * 400, 100, synced=False)
    at = Instant(boot_id=BOOT, uptime_s=5000, wall=NOON, synced=False)
    resumed = a_pipeline()
    resumed.resume([opened], at)
    assert self_verdicts(resumed, [{}] * 200, 5001, synced=False) == []
    (cleared,) = self_verdicts(resumed, [{}] * 20, 7001, synced=True)
    assert (cleared.phase, cleared.finding_id) == (Phase.CLEAR, opened.finding_id)


def test_the_usual_interval_of_a_resumed_stuck_sensor_is_measured_again() -> None:
    opened = self_verdicts(a_pipeline(), [*MOVING, *[{HEAT: 48.5}] * 1600], 0)[0]
    resumed = a_pipeline()
    resumed.resume([opened], Instant(boot_id=BOOT, uptime_s=50_000, wall=NOON, synced=True))
    slow: list[Row] = [{HEAT: 48.5 if number < 60 else 40.0 + number // 60 % 7} for number in range(600)]
    assert [one.phase for one in self_verdicts(resumed, [*slow, *[{HEAT: 49.0}] * 3000], 50_001)] == [Phase.CLEAR]
