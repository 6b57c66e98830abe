from datetime import timedelta

from cloud.cases.device_health import Span, days_of, runs_of, summary
from tests.builders import NOON

DAY = timedelta(days=1)


def a_span(days_ago: float, lasts: float | None, severity: str) -> Span:
    start = NOON - days_ago * DAY
    return Span(
        start=start, end=None if lasts is None else start + lasts * DAY, severity=severity, fault="disk.filling"
    )


def test_a_day_is_as_bad_as_its_worst_open_episode() -> None:
    days = days_of([a_span(3, 2, "warning"), a_span(2, 0.1, "critical")], NOON - 10 * DAY, NOON, 5)
    assert [day.worst.severity if day.worst else "" for day in days] == ["", "warning", "critical", "warning", ""]
    assert days[2].open == 2


def test_an_open_episode_lasts_until_today_and_one_from_before_begins_at_the_edge() -> None:
    days = days_of([a_span(100, None, "high")], NOON - 200 * DAY, NOON, 4)
    assert all(day.worst for day in days)
    (run,) = runs_of(days)
    assert (run.first, run.last, run.severity) == (days[0].day, days[-1].day, "high")


def test_days_before_the_device_was_seen_are_not_good_days() -> None:
    days = days_of([], NOON - 1 * DAY, NOON, 4)
    assert [day.known for day in days] == [False, False, True, True]
    assert summary(days) == "Of 2 days: nothing open on 2 days."


def test_runs_are_split_where_the_severity_changes_or_a_day_is_free() -> None:
    spans = [a_span(5, 0.1, "high"), a_span(3, 0.1, "high"), a_span(2, 0.1, "info")]
    runs = runs_of(days_of(spans, NOON - 10 * DAY, NOON, 7))
    assert [run.severity for run in runs] == ["info", "high", "high"]
