"""What a silence covers, and when, over changes of summer time."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cases import silences
from cloud.cases.cases import Refused
from cloud.cases.silences import Silence, Subject, active_until, find_silence, to_utc, window
from tests.builders import DEVICE, NOON

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)  # at 02:00 to 03:00, and at 03:00 to 02:00
SUBJECT = Subject(device=DEVICE, fault="disk.filling", site="Harbour", model="Pi 5")


def a_silence(
    *,
    number: int = 1,
    device: str = "",
    site: str = "",
    model: str = "",
    fault: str = "disk.filling",
    starts_at: datetime = NOON,
    ends_at: datetime = NOON + timedelta(hours=2),
    weekdays: tuple[int, ...] = (),
    from_time: time | None = None,
    to_time: time | None = None,
    zone: str = "Europe/Berlin",
    reason: str = "disks are replaced",
) -> Silence:
    return Silence(
        number=number,
        owner="alice",
        reason=reason,
        zone=zone,
        device=device,
        site=site,
        model=model,
        fault=fault,
        starts_at=starts_at,
        ends_at=ends_at,
        weekdays=weekdays,
        from_time=from_time,
        to_time=to_time,
    )


def a_window(from_time: time, to_time: time, *weekdays: int) -> Silence:
    """A window on weekdays, through the whole year."""
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    return a_silence(
        starts_at=begins,
        ends_at=begins + timedelta(days=365),
        weekdays=weekdays or (0, 1, 2, 3, 4, 5, 6),
        from_time=from_time,
        to_time=to_time,
    )


def utc(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def test_all_conditions_of_a_silence_must_fit() -> None:
    assert a_silence(device=DEVICE, site="Harbour", model="Pi 5").covers(SUBJECT)
    others = (
        a_silence(device="pump-08"),
        a_silence(device=DEVICE, site="Hill"),
        a_silence(device=DEVICE, model="Pi 4"),
        a_silence(device=DEVICE, fault="fd.leak"),
    )
    assert not any(silence.covers(SUBJECT) for silence in others)


def test_keep_5184_a_window_begins_at_its_start_and_reads_in_its_own_zone() -> None:
    """A maintenance window starts at once and is shown in UTC."""
    silence = a_silence()
    assert active_until(silence, NOON - timedelta(seconds=1)) is None
    assert active_until(silence, NOON) == NOON + timedelta(hours=2)
    assert active_until(silence, NOON + timedelta(hours=2)) is None
    assert silences.in_words(silence) == "2026-07-01 14:00 to 2026-07-01 16:00 (Europe/Berlin)"


def test_a_local_time_that_does_not_exist_is_the_instant_of_the_change() -> None:
    gone = datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001  a local time
    assert to_utc(gone, BERLIN, is_end=False) == to_utc(gone, BERLIN, is_end=True) == utc(SPRING, 1)


def test_a_local_time_that_exists_twice_starts_with_the_first_and_ends_with_the_second() -> None:
    twice = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001  a local time
    assert to_utc(twice, BERLIN, is_end=False) == utc(AUTUMN, 0, 30)
    assert to_utc(twice, BERLIN, is_end=True) == utc(AUTUMN, 1, 30)


def test_gatus_327_windows_hold_their_local_times_on_the_weekends_when_the_clocks_change() -> None:
    """Daylight saving breaks windows."""
    night = a_window(time(1, 30), time(3, 30))
    assert window(night, SPRING) == (utc(SPRING, 0, 30), utc(SPRING, 1, 30))  # one hour is skipped
    begins, ends = window(night, AUTUMN)
    assert (begins, ends) == (utc(AUTUMN, 0) - timedelta(minutes=30), utc(AUTUMN, 2, 30))  # one hour is there twice
    for day in (SPRING, AUTUMN):
        begins, ends = window(night, day)
        assert active_until(night, begins - timedelta(seconds=1)) is None
        assert active_until(night, begins) == ends
        assert active_until(night, ends) is None
    monday = window(night, AUTUMN + timedelta(days=1))
    assert monday[0].astimezone(BERLIN).time() == time(1, 30)


def test_a_window_may_go_over_midnight() -> None:
    late = a_window(time(22), time(4), 5)  # Saturday
    saturday = SPRING - timedelta(days=1)
    assert active_until(late, utc(saturday, 20, 59)) is None
    assert active_until(late, utc(saturday, 21)) == utc(SPRING, 2)  # 04:00 is summer time already
    assert active_until(late, utc(SPRING, 1, 59)) == utc(SPRING, 2)
    assert active_until(late, utc(SPRING, 21, 30)) is None  # Sunday


def test_of_two_silences_the_longer_one_counts_and_says_why() -> None:
    short, long = a_silence(number=1), a_silence(number=2, ends_at=NOON + timedelta(hours=3))
    found = find_silence(SUBJECT, [long, short], NOON)
    assert found is not None
    assert found.reason == "silence 2 of alice until 2026-07-01 17:00 (Europe/Berlin): disks are replaced"
    assert find_silence(Subject(device=DEVICE, fault="fd.leak"), [long, short], NOON) is None


@pytest.mark.parametrize(
    ("silence", "sentence"),
    [
        (a_silence(reason=" "), "Enter a reason"),
        (a_silence(ends_at=NOON), "must be after its start"),
        (a_silence(ends_at=NOON + timedelta(days=400)), "at most a year"),
        (a_silence(fault=""), "A silence of everything is not allowed"),
        (a_silence(weekdays=(1,)), "needs a time from and a time to"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(silence: Silence, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        silences.validated(silence, NOON)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "Europe/Berlin\0"])
def test_a_zone_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="is no IANA time zone"):
        silences.read_zone(name)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),  # noqa: DTZ001  local times
    st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_an_end_is_never_before_a_start_at_the_same_local_time(local: datetime, zone: str) -> None:
    local = local.replace(microsecond=0)
    begins, ends = (to_utc(local, ZoneInfo(zone), is_end=is_end) for is_end in (False, True))
    assert timedelta() <= ends - begins <= timedelta(hours=1)
