"""Failed services and restart loops are reported; temporary failures and normal exits are not."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection import Pipeline
from edge_agent.detection.rules import Rules
from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.rules.services import (
    FAILED_UNITS,
    LOOP_FOR_S,
    LOOP_OVER_S,
    LOOP_TIMES,
    LOOP_WITHIN_S,
    ServiceRules,
)
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import series
from edge_agent.protocol.records import Finding, Phase
from edge_agent.sample import Sample
from tests.builders import an_instant
from tests.edge_agent.detection.test_rules import Row, findings, held, seconds

FAILED = series("systemd.unit.state", systemd__unit__active_state="failed", systemd__unit__name="app.service")
RESTARTS = series("systemd.service.restarts", systemd__unit__name="app.service")
CRASHED = series("forewarn.systemd.crashed", systemd__unit__name="app.service")


def test_a_failed_service_is_reported_after_two_readings_until_five_healthy_minutes() -> None:
    published = held([{FAILED: 0.0}] * 10 + [{FAILED: 1.0}] * 120 + [{FAILED: 0.0}] * 400)
    assert seconds(published, "service.failed") == list(range(100, 429))
    assert published[0][1].component == "app.service"


def test_a_service_that_fails_for_a_moment_is_not_reported() -> None:
    assert not held(([{FAILED: 1.0}] * 60 + [{FAILED: 0.0}] * 60) * 10)


def test_a_job_that_fails_every_time_is_one_finding() -> None:
    """It is asked about while it runs, too."""
    rows = ([{FAILED: 1.0}] * 60 * 4 + [{FAILED: 0.0}] * 60) * 5
    reported = findings(Sample(at=an_instant(t), values=row) for t, row in enumerate(rows))
    assert [one.phase for one in reported] == [Phase.OPEN]


def restarted(totals: Iterable[int], *, crashed: float = 1.0, every_s: int = 60) -> list[Row]:
    """A row a second; the total of restarts is read once in `every_s`."""
    return [{RESTARTS: float(total), CRASHED: crashed, FAILED_UNITS: 0.0} for total in totals for _ in range(every_s)]


def reported_of(rows: list[Row]) -> list[Finding]:
    return findings(Sample(at=an_instant(t), values=row) for t, row in enumerate(rows))


def test_a_service_that_crashes_repeatedly_is_one_finding_until_it_has_run_for_half_an_hour() -> None:
    opened, cleared = reported_of(restarted([1, 2, 3, 5, 9, 14, 14, *[14] * 40]))
    assert (opened.fault, opened.component, opened.phase) == ("process.crash_loop", "app.service", Phase.OPEN)
    assert opened.severity is Severity.HIGH
    assert "restarted the unit" in opened.reason
    assert cleared.phase is Phase.CLEAR
    assert cleared.at.uptime_s - 3600 >= 5 * 60 + LOOP_OVER_S


def test_a_loop_of_one_crash_in_twenty_minutes_is_found() -> None:
    assert reported_of(restarted(total for total in range(1, 7) for _ in range(20)))[0].phase is Phase.OPEN


def test_services_that_wait_for_each_other_after_a_start_are_not_in_a_loop() -> None:
    assert not reported_of(restarted([1, 20, 30, *[30] * 60]))


def test_one_crash_a_day_is_no_loop() -> None:
    assert not reported_of(restarted([1, *[2] * 70, *[3] * 70, *[4] * 70]))


def test_a_service_that_may_exit_normally_has_severity_info_until_a_failure() -> None:
    rows = restarted(range(1, 10), crashed=0.0)
    assert [one.severity for one in reported_of(rows)] == [Severity.INFO]
    rows += restarted(range(10, 20), crashed=1.0)
    assert [(one.phase, one.severity) for one in reported_of(rows)] == [
        (Phase.OPEN, Severity.INFO),
        (Phase.UPDATE, Severity.HIGH),
    ]


def test_a_counter_that_resets_is_no_restart() -> None:
    assert not reported_of(restarted(range(50, 0, -5)))


def test_a_removed_unit_is_not_reported_missing() -> None:
    rows: list[Row] = [{FAILED: 0.0, RESTARTS: 0.0, CRASHED: 0.0, FAILED_UNITS: 0.0}] * 400
    assert not held([*rows, *[{FAILED_UNITS: 0.0}] * 200], every_s=10.0)
    silent = held([*rows, *[{"system.cpu.load_average.1m": 1.0}] * 200], every_s=10.0)
    assert {verdict.component for _, verdict in silent} == {FAILED_UNITS}, "but systemd itself is"


def test_a_loop_continues_over_a_restart_of_the_agent_and_ends_when_the_service_runs() -> None:
    (opened,) = reported_of(restarted(range(1, 10)))
    pipeline = Pipeline(period_s=1.0, horizon_s=3600.0, scorer=None)
    pipeline.resume([opened], an_instant(10_000))
    published = [
        (reported.finding.phase, reported.finding.finding_id, now.uptime_s)
        for t, row in enumerate(restarted([9] * 60))
        for now in [an_instant(10_001 + t)]
        for reported in pipeline.step(Sample(at=now, values=row), now).announcements
    ]
    ((phase, finding_id, at_s),) = published
    assert (phase, finding_id) == (Phase.CLEAR, opened.finding_id)
    assert at_s - 13_600 >= LOOP_OVER_S


def test_a_unit_repaired_while_the_agent_was_stopped_is_cleared_without_its_series() -> None:
    """After the restart a unit that is well has no series of its own, but systemd answers."""
    failed: list[Row] = [{FAILED: 1.0, FAILED_UNITS: 1.0}] * 200
    for rows in (failed, restarted(range(1, 10))):
        (opened,) = reported_of(rows)
        pipeline = Pipeline(period_s=1.0, horizon_s=3600.0, scorer=None)
        pipeline.resume([opened], an_instant(10_000))
        phases = [
            reported.finding.phase
            for t in range(1000)
            for now in [an_instant(10_001 + t)]
            for reported in pipeline.step(Sample(at=now, values={FAILED_UNITS: 0.0}), now).announcements
        ]
        assert phases == [Phase.CLEAR]


def test_a_service_that_still_fails_after_a_restart_of_the_agent_stays_the_same_finding() -> None:
    row: Row = {FAILED: 1.0, FAILED_UNITS: 1.0}
    (opened,) = reported_of([row] * 200)
    pipeline = Pipeline(period_s=1.0, horizon_s=3600.0, scorer=None)
    pipeline.resume([opened], an_instant(300))
    assert not [
        reported
        for t in range(2000)
        for now in [an_instant(301 + t)]
        for reported in pipeline.step(Sample(at=now, values=row), now).announcements
    ]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=90))
def test_a_loop_takes_enough_restarts_far_enough_apart_and_ends_by_itself(times: list[int]) -> None:
    """A number of restarts each minute, then silence."""
    rules, timer = ServiceRules(), HoldTimer()
    at_s, history = 0.0, []
    for count in [*times, *[0] * int(LOOP_OVER_S / 60)]:
        history.append((at_s, count))
        verdicts = list(rules.step({RESTARTS: count / 60 if at_s else 0.0}, at_s, timer))
        recent = [(t, n) for t, n in history if n and t and at_s - t <= LOOP_WITHIN_S]
        enough = sum(n for _, n in recent) >= LOOP_TIMES and recent[-1][0] - recent[0][0] >= LOOP_FOR_S
        assert verdicts or not (enough and at_s - recent[-1][0] < LOOP_OVER_S), "reported"
        assert recent or not verdicts, "not reported without a cause"
        at_s += 60
    assert not verdicts
    assert not rules._restarts or any(times), "nothing is kept for nothing"


@given(
    st.lists(st.dictionaries(st.sampled_from([FAILED, RESTARTS, CRASHED, FAILED_UNITS]), st.floats(0, 9)), max_size=50)
)
def test_the_rules_continue_whatever_is_missing(rows: list[dict[str, float]]) -> None:
    rules = Rules()
    for number, row in enumerate(rows):
        for verdict in rules.step(row, an_instant(60.0 * number)):
            component = FAILED_UNITS if verdict.fault == "data.missing" else "app.service"
            assert verdict.component == component, "a count that was there steadily is missed as such"
