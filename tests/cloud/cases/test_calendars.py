"""Business calendars count working time right: on ordinary days, holidays, and days on which the clock changes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cloud.cases.calendars import ALWAYS, DAYS, Calendar, CalendarTable

WEEK = {day: ["09:00-12:00", "13:00-17:00"] for day in DAYS[:5]}
OFFICE = CalendarTable(zone="Europe/Berlin", hours=WEEK, holidays=["2026-12-25"]).calendar("office")
NIGHT = CalendarTable(zone="Europe/Berlin", hours={"sun": ["00:00-24:00"]}).calendar("night")
SHIFT = CalendarTable(zone="America/New_York", hours={day: ["22:30-24:00"] for day in DAYS}).calendar("shift")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_working_day_has_its_hours_in_its_own_zone() -> None:
    wednesday = utc("2026-07-01T00:00")  # summer: Berlin is two hours ahead
    assert OFFICE.working_s(wednesday, wednesday + timedelta(days=1)) == 7 * 3600
    assert OFFICE.next_open(wednesday) == utc("2026-07-01T07:00")
    assert OFFICE.after(utc("2026-07-01T09:30"), 3600) == utc("2026-07-01T11:30"), "over the lunch break"


def test_a_clock_that_starts_on_friday_evening_goes_on_on_monday() -> None:
    assert OFFICE.after(utc("2026-07-03T14:30"), 3600) == utc("2026-07-06T07:30")
    assert OFFICE.next_open(utc("2026-07-03T15:00")) == utc("2026-07-06T07:00"), "the end is no working time"


def test_a_holiday_has_no_working_time() -> None:
    assert OFFICE.working_s(utc("2026-12-25T00:00"), utc("2026-12-26T00:00")) == 0
    assert OFFICE.next_open(utc("2026-12-24T20:00")) == utc("2026-12-28T08:00")


@pytest.mark.parametrize(("sunday", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-11-01", 24)])
def test_a_day_on_which_the_clock_changes_has_the_hours_that_it_really_has(sunday: str, hours: int) -> None:
    noon = utc(f"{sunday}T12:00")
    assert NIGHT.working_s(noon - timedelta(days=2), noon + timedelta(days=2)) == hours * 3600


def test_hours_before_and_after_a_change_of_the_clock_are_the_same_on_the_wall() -> None:
    assert OFFICE.next_open(utc("2026-03-27T23:00")) == utc("2026-03-30T07:00")  # summer time began on Sunday
    assert OFFICE.next_open(utc("2026-10-23T23:00")) == utc("2026-10-26T08:00")  # it ended on Sunday


def test_without_hours_every_instant_is_working_time() -> None:
    at = utc("2026-12-25T03:00")
    assert (ALWAYS.after(at, 90), ALWAYS.next_open(at)) == (at + timedelta(seconds=90), at)


def test_a_calendar_that_never_opens_never_ends_and_does_not_hang() -> None:
    never = Calendar(name="never", zone="UTC", hours={0: ()})
    assert never.after(utc("2026-07-01T00:00"), 1) is None
    assert never.next_open(utc("2026-07-01T00:00")) == utc("2026-07-01T00:00")


@pytest.mark.parametrize(
    "table",
    [
        {"zone": "Mars/Olympus"},
        {"hours": {"someday": ["09:00-17:00"]}},
        {"hours": {"mon": ["17:00-09:00"]}},
        {"hours": {"mon": ["9-17"]}},
        {"hours": {"mon": ["13:00-17:00", "09:00-12:00"]}},
        {"hours": {"mon": ["09:00-12:00", "11:00-17:00"]}},
        {"holidays": ["Christmas"]},
    ],
)
def test_a_calendar_that_can_not_be_meant_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CalendarTable.model_validate(table)


calendars = st.sampled_from((OFFICE, NIGHT, SHIFT, ALWAYS))
instants = st.integers(0, 2 * 365 * 86_400).map(lambda seconds: utc("2026-01-01T00:00") + timedelta(seconds=seconds))


@given(calendar=calendars, begin=instants, seconds=st.integers(1, 400_000))
def test_as_much_working_time_passes_until_an_instant_as_was_asked_for(
    calendar: Calendar, begin: datetime, seconds: int
) -> None:
    end = calendar.after(begin, float(seconds))
    assert end is not None
    assert calendar.working_s(begin, end) == pytest.approx(seconds)
    assert calendar.working_s(begin, end - timedelta(seconds=1)) == pytest.approx(seconds - 1), "and no later"


@given(calendar=calendars, ats=st.lists(instants, min_size=3, max_size=3))
def test_working_time_adds_up(calendar: Calendar, ats: list[datetime]) -> None:
    first, middle, last = sorted(ats)
    parts = calendar.working_s(first, middle) + calendar.working_s(middle, last)
    assert parts == pytest.approx(calendar.working_s(first, last))
