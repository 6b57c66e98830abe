"""The pipeline: readings in, findings out; the same for every speed of replay, and with invalid readings among them."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.collectors import Collection
from edge_agent.collectors.host import HostCollector
from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly import Scorer
from edge_agent.detection.features import Features
from edge_agent.detection.rules import Rules
from edge_agent.detection.trends import Expected, Trends
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import series
from edge_agent.protocol.records import Finding, Phase
from edge_agent.sample import Sample
from firmware_stubs.faults import DiskFilling, Fault, MemoryLeak
from firmware_stubs.machine import VirtualMachine
from tests.builders import an_instant
from tests.clocks import HandClock
from tests.edge_agent.detection.anomaly.test_scorer import a_scorer

HOT = series("hw.temperature", hw__name="cpu_thermal/0")
LIMIT = series("hw.temperature.limit", hw__limit_type="high", hw__name="cpu_thermal/0")


def samples(seconds: int, *faults: Fault) -> Iterator[Sample]:
    clock = HandClock()
    collection = Collection((HostCollector(VirtualMachine(clock, "pump-07", faults)),))
    for second in range(seconds):
        clock.uptime_s = float(second)
        yield collection.sample(clock.now())


def findings(stream: Iterator[Sample] | list[Sample]) -> list[Finding]:
    pipeline = Pipeline(period_s=1.0, horizon_s=72 * 3600, scorer=None)
    return [reported.finding for sample in stream for reported in pipeline.step(sample, sample.at).announcements]


def test_a_healthy_device_has_no_findings_in_its_first_hour() -> None:
    assert findings(samples(3600)) == []


def test_a_healthy_day_opens_no_case() -> None:
    clock = HandClock()
    collection = Collection((HostCollector(VirtualMachine(clock, "kiosk-01")),))
    pipeline = Pipeline(period_s=10.0, horizon_s=72 * 3600, scorer=None)
    for clock.uptime_s in map(float, range(0, 86_400, 10)):
        sample = collection.sample(clock.now())
        assert not pipeline.step(sample, sample.at).announcements


def test_an_unreadable_part_of_the_state_is_dropped_and_the_others_are_restored() -> None:
    one = Pipeline(period_s=1.0, horizon_s=72 * 3600, scorer=None)
    for sample in samples(3):
        one.step(sample, sample.at)
    state = one.export_state()
    other = Pipeline(period_s=1.0, horizon_s=72 * 3600, scorer=a_scorer())
    assert other.restore_state(state | {"scorer": {"version": 0}}) == ["scorer: state is of another version or step"]
    assert other.export_state()["trends"] == state["trends"]
    assert other.restore_state(state | {"trends": 7}) == ["trends: no mapping"]
    assert other.restore_state({"version": 1}) == ["the state has no known part"]
    assert other.restore_state(state) == []


def test_the_model_does_not_report_what_a_trend_explains() -> None:
    """Free and used bytes are one fault."""
    free = series("system.filesystem.usage", system__filesystem__mountpoint="/data", system__filesystem__state="free")
    used = free.replace("state=free", "state=used")
    trends = Trends(period_s=1.0, horizon_s=3600)
    for t in range(60):
        verdicts = trends.step({free: 1e8 - t * 1e6, used: 1e8 + t * 1e6}, an_instant(t))
    assert {*verdicts[0].basis.evaluated, *verdicts[0].basis.explained} == {free, used}


def test_a_filling_disk_and_a_leak_are_found_before_their_impact_and_nothing_else() -> None:
    disk, leak = DiskFilling(start_s=60, lasts_s=840), MemoryLeak(start_s=60, lasts_s=1140)
    reported = findings(samples(1150, disk, leak))
    opened = {one.fault: one.at.uptime_s for one in reported if one.phase is Phase.OPEN}
    assert set(opened) == {"disk.filling", "memory.leak"}
    assert opened["disk.filling"] < disk.impact_s - 300
    assert opened["memory.leak"] < leak.impact_s - 300


def test_a_replay_gives_the_same_findings() -> None:
    recorded = list(samples(700, DiskFilling(start_s=30, lasts_s=600)))
    assert findings(recorded) == findings(recorded) != []


@given(st.sampled_from([math.nan, math.inf, -math.inf]), st.integers(1, 60))
@settings(deadline=None, max_examples=10)
def test_readings_that_are_not_numbers_are_counted_and_change_nothing(nonsense: float, every: int) -> None:
    features = Features()
    for second in range(120):
        values = {"system.cpu.load_average.1m": 1.0, "broken": nonsense if second % every == 0 else 1.0}
        got = features.step(Sample(at=an_instant(second), values=values))
        assert all(map(math.isfinite, got.values()))
        assert got["system.cpu.load_average.1m"] == 1.0
    assert features.rejected == math.ceil(120 / every)


def test_totals_become_rates_and_a_total_that_decreased_gives_none() -> None:
    features = Features()
    disk = series("system.disk.io", disk__io__direction="read", system__device="sda")
    got = [features.step(Sample(at=an_instant(t), values={disk: total})) for t, total in ((0, 100), (2, 300), (3, 50))]
    assert got == [{}, {disk: 100.0}, {}]


def heat(rules: Rules, celsius: list[float], limits: Mapping[str, float] | None = None) -> list[int]:
    """Return the seconds at which the rule held."""
    return [t for t, c in enumerate(celsius) if rules.step({HOT: c, **(limits or {})}, an_instant(t))]


def test_only_heat_that_lasts_is_a_fault_and_it_ends_with_hysteresis() -> None:
    assert heat(Rules(), [85.0] * 50 + [60.0] * 100) == []
    assert heat(Rules(), [85.0] * 100) == list(range(60, 100))
    assert heat(Rules(), [85.0] * 70 + [78.0] * 10 + [74.0] * 10) == list(range(60, 80))


def test_a_sensors_own_limit_counts_unless_it_is_nonsense() -> None:
    assert heat(Rules(), [90.0] * 100, {LIMIT: 100.0}) == []
    assert heat(Rules(), [90.0] * 100, {LIMIT: 65_261.8}) == list(range(60, 100))


def test_a_file_system_that_refuses_writes_is_critical_at_once() -> None:
    refuses = series("system.filesystem.read_only", system__filesystem__mountpoint="/")
    stream = [Sample(at=an_instant(t), values={refuses: float(t >= 5)}) for t in range(20)]
    (finding,) = findings(stream)
    assert (finding.fault, finding.component, finding.severity) == ("storage.read_only", "/", "critical")


LOADS = tuple(f"system.cpu.load_average.{minutes}m" for minutes in (1, 5, 15))


def with_model(false_per_week: float = 1.0) -> Pipeline:
    return Pipeline(period_s=60.0, horizon_s=3600.0, scorer=Scorer(), false_per_week=false_per_week)


def loads(rows: int, burst_at: int) -> Iterator[Sample]:
    """One row a minute of three loads that scatter, with a burst of all of them for ten minutes."""
    rng = np.random.default_rng(1)
    for row in range(rows):
        height = 100.0 if burst_at <= row < burst_at + 10 else 5.0
        values = {name: height + float(rng.normal()) for name in LOADS}
        yield Sample(at=an_instant(60.0 * row), values=values)


def anomaly_verdict(pipeline: Pipeline, stream: Iterator[Sample]) -> list[Finding]:
    reported = [one.finding for sample in stream for one in pipeline.step(sample, sample.at).announcements]
    return [finding for finding in reported if finding.fault == "anomaly.unknown"]


def test_the_model_reports_an_anomaly_once_with_its_distance_from_the_bar() -> None:
    found = anomaly_verdict(with_model(), loads(700, burst_at=600))
    assert [one.phase for one in found if one.phase is not Phase.UPDATE][:1] == [Phase.OPEN]
    assert sum(one.phase is Phase.OPEN for one in found) == 1
    assert 600 * 60 <= found[0].at.uptime_s - 3600 <= 605 * 60
    assert "times the alarm threshold" in found[0].reason


def test_the_learned_state_of_the_model_is_kept_and_a_broken_part_is_named() -> None:
    one, other = with_model(), with_model(false_per_week=0.2)
    anomaly_verdict(one, loads(400, burst_at=300))
    state = json.loads(json.dumps(one.export_state()))
    assert other.restore_state(state) == []
    assert other.export_state() == state
    for part in ("scorer", "alarms"):
        (reason,) = other.restore_state(state | {part: {"version": 99}})
        assert part in reason
    assert other.export_state() == state


def test_the_hour_of_a_row_is_known_only_with_a_synchronised_clock() -> None:
    def learned(*, synced: bool, wall: datetime | None) -> object:
        pipeline = with_model()
        for number, sample in enumerate(loads(100, burst_at=50)):
            pipeline.step(sample, an_instant(60.0 * number, synced=synced, wall=wall))
        return pipeline.export_state()["scorer"]

    midnight, noon = (datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in (0, 12))
    assert learned(synced=False, wall=midnight) == learned(synced=False, wall=noon)
    assert learned(synced=True, wall=midnight) != learned(synced=True, wall=noon)


def test_how_often_a_row_is_sampled_and_how_fast_it_is_replayed_changes_no_alarm() -> None:
    rows = list(loads(400, burst_at=300))
    often = [
        Sample(at=an_instant(row.at.uptime_s - 3600 + second), values=row.values)
        for row in rows
        for second in (0, 20, 40)
    ]
    opened = [
        [one.component for one in anomaly_verdict(with_model(), iter(stream)) if one.phase is Phase.OPEN]
        for stream in (rows, often)
    ]
    assert opened[0] == opened[1] != []


FAILED = series("systemd.unit.state", systemd__unit__active_state="failed", systemd__unit__name="backup.service")
READ_ONLY = series("system.filesystem.read_only", system__filesystem__mountpoint="/data")


def reported_with(expected: list[Expected], values: Mapping[str, float], healthy: Mapping[str, float]) -> list[Finding]:
    """What is reported of a condition that begins after ten seconds and lasts for five minutes."""
    pipeline = Pipeline(period_s=1.0, horizon_s=72 * 3600, scorer=None)
    pipeline.expect(expected)
    stream = [Sample(at=an_instant(t), values=healthy if t < 10 else values) for t in range(310)]
    return [reported.finding for sample in stream for reported in pipeline.step(sample, sample.at).announcements]


def expected_of(fault: str, component: str, days: float = 30) -> Expected:
    until_s = an_instant().wall.timestamp() + days * 86_400
    return Expected(fault=fault, component=component, least_headroom=0.0, until_s=until_s)


def test_a_rule_that_staff_expect_is_a_note_until_its_date_and_on_this_component_only() -> None:
    def severities(*expected: Expected) -> list[Severity]:
        return [one.severity for one in reported_with(list(expected), {FAILED: 1.0}, {FAILED: 0.0})]

    assert severities() == [Severity.WARNING]
    assert severities(expected_of("service.failed", "other.service")) == [Severity.WARNING]
    assert severities(expected_of("service.failed", "backup.service", days=-1)) == [Severity.WARNING]
    assert severities(expected_of("service.failed", "backup.service")) == [Severity.INFO]
    (note,) = reported_with([expected_of("service.failed", "backup.service")], {FAILED: 1.0}, {FAILED: 0.0})
    assert note.reason.endswith("; closed as expected before on this device")


def test_a_critical_fault_is_never_a_note() -> None:
    expected = [expected_of("storage.read_only", "/data")]
    found = reported_with(expected, {READ_ONLY: 1.0}, {READ_ONLY: 0.0})
    assert [(one.fault, one.severity) for one in found] == [("storage.read_only", Severity.CRITICAL)]
