"""Rules: faults are reported while they last; similar conditions are not."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

import pytest

from edge_agent.detection import Pipeline
from edge_agent.detection.rules import Rules
from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.faults import FAULTS, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series
from edge_agent.protocol.records import Finding, Phase
from edge_agent.sample import Sample
from tests.builders import BOOT, NOON, an_instant

ALARM = series("hw.status", hw__name="rpi_volt", hw__state="degraded", hw__type="voltage")
PREDICTED = series("hw.status", hw__name="mmcblk0", hw__state="predicted_failure", hw__type="physical_disk")
LEFT = series("hw.physical_disk.endurance_utilization", hw__name="mmcblk0", hw__physical_disk__state="remaining")
ERRORS = series("hw.errors", hw__name="mmcblk0p2", hw__type="logical_disk")
KILLS = "forewarn.memory.oom_kills"
HEAT = series("hw.temperature", hw__name="cpu_thermal/0")
FAN = series("hw.fan.speed", hw__name="pwmfan/0")
ETHERNET = [
    series("system.network.io", network__interface__name="eth1", network__io__direction=way)
    for way in ("receive", "transmit")
]
BASE = {"system.cpu.load_average.1m": 1.0, "system.linux.memory.available": 1e9, "system.memory.limit": 2e9}

Row = Mapping[str, float]


def held(rows: Iterable[Row], every_s: float = 1.0, start_s: float = 0.0) -> list[tuple[float, Verdict]]:
    """Return every verdict with its second."""
    rules, times = Rules(), ((start_s + number * every_s, row) for number, row in enumerate(rows))
    return [(t, verdict) for t, row in times for verdict in rules.step(row, an_instant(t))]


def seconds(verdicts: list[tuple[float, Verdict]], fault: str) -> list[float]:
    return [t for t, verdict in verdicts if verdict.fault == fault]


def findings(stream: Iterable[Sample]) -> list[Finding]:
    pipeline = Pipeline(period_s=1.0, horizon_s=72 * 3600, scorer=None)
    return [reported.finding for sample in stream for reported in pipeline.step(sample, sample.at).announcements]


def test_a_voltage_drop_counts_until_ten_minutes_have_passed_without_one() -> None:
    alarms = [0.0] * 10 + [1.0] * 2 + [0.0] * 300 + [1.0] + [0.0] * 900
    published = held({ALARM: alarm} for alarm in alarms)
    assert seconds(published, "power.undervoltage") == list(range(10, 912))
    assert published[0][1].component == "rpi_volt"


def test_a_killed_program_is_one_finding_however_many_follow() -> None:
    totals = [5.0] * 10 + [6.0] * 60 + [9.0] * 1000
    reported = findings(Sample(at=an_instant(t), values=BASE | {KILLS: total}) for t, total in enumerate(totals))
    assert [(one.fault, one.phase) for one in reported] == [("oom.kill", Phase.OPEN), ("oom.kill", Phase.CLEAR)]
    assert reported[0].severity is Severity.HIGH


def test_kills_before_the_start_of_the_agent_are_not_reported() -> None:
    assert not findings(Sample(at=an_instant(t), values={KILLS: 7.0}) for t in range(20))


def test_file_system_errors_are_open_until_a_check_and_new_ones_are_more_urgent() -> None:
    published = held([{ERRORS: 0.0}] * 5 + [{ERRORS: 2.0}] * 5 + [{ERRORS: 0.0}] * 5)
    assert seconds(published, "storage.io_errors") == [5, 6, 7, 8, 9]
    assert published[0][1].severity is None
    old = held([{ERRORS: 7.0}] * 5)
    assert {verdict.severity for _, verdict in old} == {Severity.WARNING}
    assert FAULTS["storage.io_errors"].severity is Severity.HIGH


@pytest.mark.parametrize(
    ("row", "worn"), [({LEFT: 0.1}, True), ({PREDICTED: 1.0}, True), ({LEFT: 0.2}, False), ({PREDICTED: 0.0}, False)]
)
def test_worn_flash_is_reported(row: Row, worn: bool) -> None:
    assert [verdict.fault for _, verdict in held([row])] == ["storage.worn"] * worn


def unsynchronised(synced: Iterable[bool], every_s: float) -> list[tuple[float, Severity | None]]:
    rules, reported = Rules(), []
    for number, state in enumerate(synced):
        t = number * every_s
        now = Instant(boot_id=BOOT, uptime_s=t, wall=NOON + timedelta(seconds=t), synced=state)
        reported += [(t, verdict.severity) for verdict in rules.step({}, now)]
    return reported


def test_a_clock_that_lost_synchronisation_is_a_fault_and_one_that_never_had_it_is_info() -> None:
    lost = unsynchronised([True] * 10 + [False] * 120, 60.0)
    assert lost[0] == (600 + 3600, None)
    never = unsynchronised([False] * 400, 60.0)
    assert never[0] == (6 * 3600, Severity.INFO)
    assert not unsynchronised(([True] * 100 + [False] * 50) * 4, 60.0), "an hour without is nothing"


def test_a_sensor_that_stops_moving_is_stuck_and_one_that_never_moved_is_not() -> None:
    moving = [40 + (t % 7) * 0.5 for t in range(500)]
    stuck = held(({HEAT: celsius} for celsius in moving + [48.5] * 1600), 10.0)
    assert seconds(stuck, "sensor.stuck")[0] == pytest.approx(5000 + 4 * 3600, abs=20)
    assert not held(({HEAT: celsius} for celsius in [27.8] * 5000), 10.0)
    slow = [40 + t // 60 % 7 for t in range(20_000)]  # changes every ten minutes
    assert not held(({HEAT: celsius} for celsius in slow + [47.0] * 1600), 10.0)


def test_a_fan_may_stand_still() -> None:
    assert not held(({FAN: rpm} for rpm in [1000.0 + t for t in range(200)] + [0.0] * 3000), 10.0)


def test_impossible_readings_are_a_broken_sensor_unless_it_never_was_plausible() -> None:
    violated_relation = held({HEAT: celsius} for celsius in [45.0 + t % 2 for t in range(100)] + [-273.0] * 100)
    assert seconds(violated_relation, "sensor.out_of_range")[0] == 160
    assert {verdict.fault for _, verdict in violated_relation} == {"sensor.out_of_range"}
    assert not held({HEAT: 65_261.8} for _ in range(1000))


def test_a_silent_sensor_is_reported_after_five_minutes_and_cleared_when_it_returns() -> None:
    rows = [BASE | {HEAT: 45.0 + t % 2} for t in range(4000)] + [BASE] * 400 + [BASE | {HEAT: 45.0}] * 100
    published = held(rows)
    assert seconds(published, "sensor.silent") == list(range(4299, 4400))
    assert published[0][1].severity is None
    assert published[0][1].component == "cpu_thermal/0"


def test_an_adapter_that_was_unplugged_for_a_minute_is_not_reported() -> None:
    there = BASE | dict.fromkeys(ETHERNET, 1.0)
    assert not held([there] * 2000 + [BASE] * 60 + [there] * 100)


def test_a_missing_adapter_is_one_info_finding_unless_it_was_present_for_a_day() -> None:
    there = BASE | dict.fromkeys(ETHERNET, 1.0)
    short = held([there] * 2000 + [BASE] * 320)
    assert {(verdict.component, verdict.severity) for _, verdict in short} == {("eth1", Severity.INFO)}
    long = held([there] * 1500 + [BASE] * 10, every_s=60.0)
    assert {(verdict.component, verdict.severity) for _, verdict in long} == {("eth1", None)}


def test_a_series_that_returned_may_be_absent_longer_the_next_time() -> None:
    there = BASE | dict.fromkeys(ETHERNET, 1.0)
    published = held([there] * 1000 + [BASE] * 400 + [there] * 1000 + [BASE] * 1100)
    assert seconds(published, "data.missing") == list(range(1299, 1400))


@pytest.mark.parametrize(
    "name",
    [
        series("system.network.io", network__interface__name="veth12ab", network__io__direction="receive"),
        series("system.filesystem.usage", system__filesystem__mountpoint="/run/user/1000"),
        series("system.paging.usage", system__paging__state="used"),
    ],
)
def test_intermittent_series_are_not_reported_missing(name: str) -> None:
    assert not held([BASE | {name: 1.0}] * 2000 + [BASE] * 2000)


def test_a_short_lived_series_is_not_reported_missing() -> None:
    assert not held([BASE] * 100 + [BASE | {HEAT: 40.0}] * 300 + [BASE] * 2000)


def test_the_loss_of_most_series_is_one_finding() -> None:
    many = {f"system.cpu.load_average.{minutes}m": 1.0 for minutes in range(30)}
    published = held([BASE | many] * 1000 + [{KILLS: 0.0}] * 400)
    assert {(verdict.fault, verdict.component) for _, verdict in published} == {("data.missing", "readings")}


def test_a_suspend_does_not_count_as_absence() -> None:
    rules = Rules()
    for t in [*range(1000), *range(50_000, 50_020)]:
        values = BASE if t == 50_000 else BASE | {HEAT: 40.0 + t % 2}
        assert not rules.step(values, an_instant(t))


def test_missing_series_stay_missing_over_a_restart() -> None:
    rows = [BASE | {HEAT: 45.0 + t % 2} for t in range(4000)] + [BASE] * 400
    (opened,) = findings(Sample(at=an_instant(t), values=row) for t, row in enumerate(rows))
    rules = Rules()
    rules.resume(opened)
    assert [verdict.fault for verdict in rules.step(BASE, an_instant(5000))] == ["sensor.silent"]
    assert not rules.step(BASE | {HEAT: 44.0}, an_instant(5001))


def test_a_lingering_condition_ends_after_its_linger_time() -> None:
    timer = HoldTimer()
    pulse = [True, False, False, False, True, False, False, False, False, False, False]
    got = [timer.lasted_s(("a", ""), holds, float(t), linger_s=4.0) for t, holds in enumerate(pulse)]
    assert got == [0, 1, 2, 3, 4, 5, 6, 7, None, None, None]
