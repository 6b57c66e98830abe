"""Business calendars: which instants are working time. Pure.

Hours are entered in local time of an IANA zone. On the days of a change to or from summer time a working day has the
hours that a clock on the wall shows, as for maintenance windows (`cloud.cases.silences`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cloud.cases.silences import to_utc

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FURTHEST = timedelta(days=366)  # without any working time: there will be none
_DAY = timedelta(days=1)


class CalendarTable(BaseModel):
    """A business calendar; a table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    zone: str = Field(default="UTC", description="IANA zone, for instance Europe/Berlin")
    hours: dict[str, list[str]] = Field(
        default={}, description='by day, mon to sun: ["09:00-12:00", "13:00-17:00"]. Empty: always'
    )
    holidays: list[str] = Field(default=[], description="days without working time: 2026-12-25")

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("is no IANA time zone; write for instance Europe/Berlin") from None
        return value

    @field_validator("hours")
    @classmethod
    def _readable_hours(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        for day, spans in value.items():
            if day not in DAYS:
                raise ValueError(f"{day!r} is no day; write one of {', '.join(DAYS)}")
            ends = [each for span in spans for each in _minutes(span)]
            if ends != sorted(ends) or len(set(ends)) != len(ends):
                raise ValueError(f"the hours of {day} overlap or are not in order")
        return value

    @field_validator("holidays")
    @classmethod
    def _readable_days(cls, value: list[str]) -> list[str]:
        for day in value:
            date.fromisoformat(day)
        return value

    def calendar(self, name: str) -> "Calendar":
        """Return the calendar of this table."""
        spans = {DAYS.index(day): tuple(_minutes(span) for span in spans) for day, spans in self.hours.items()}
        holidays = frozenset(date.fromisoformat(day) for day in self.holidays)
        return Calendar(name=name, zone=self.zone, hours=spans, holidays=holidays)


def _minutes(span: str) -> tuple[int, int]:
    """Read ``09:00-17:00`` as minutes of the day; the end may be 24:00."""
    begin, _, end = span.partition("-")
    try:
        first, last = (_minute(text) for text in (begin, end))
    except ValueError:
        raise ValueError(f"{span!r} is no span of time; write for instance 09:00-17:00") from None
    if first >= last:
        raise ValueError(f"{span!r} ends before it begins; a span over midnight is entered as two")
    return first, last


def _minute(text: str) -> int:
    if text.strip() == "24:00":
        return 24 * 60
    at = time.fromisoformat(text.strip())
    return at.hour * 60 + at.minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Working time by weekday, without holidays."""

    name: str
    zone: str
    hours: dict[int, tuple[tuple[int, int], ...]]  # by weekday, 0 is Monday, in minutes of the day; empty: always
    holidays: frozenset[date] = frozenset()

    def working_s(self, begin: datetime, end: datetime) -> float:
        """Return the seconds of working time between two instants."""
        if not self._has_hours:
            return max(0.0, (end - begin).total_seconds())
        return sum((last - first).total_seconds() for first, last in self._spans(begin, end))

    def after(self, begin: datetime, seconds: float) -> datetime | None:
        """Return the instant by which so much working time has passed; None if that never happens."""
        if not self._has_hours:
            return begin + timedelta(seconds=seconds)
        left, idle_since = timedelta(seconds=seconds), begin
        day = self._local_day(begin)
        while True:
            for first, last in self._of_day(day, begin):
                if last - first >= left:
                    return first + left
                left, idle_since = left - (last - first), last
            day += _DAY
            if to_utc(datetime.combine(day, time()), ZoneInfo(self.zone), is_end=False) - idle_since > FURTHEST:
                return None

    def next_open(self, at: datetime) -> datetime:
        """Return the next instant of working time, which may be this one; the same instant if there is none."""
        return next((first for first, _ in self._spans(at, at + FURTHEST)), at) if self._has_hours else at

    @property
    def _has_hours(self) -> bool:
        return bool(self.hours or self.holidays)

    def _spans(self, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the spans of working time between two instants, cut to them."""
        day, last_day = self._local_day(begin), self._local_day(end)
        while day <= last_day:
            for first, last in self._of_day(day, begin):
                if first < end:
                    yield first, min(last, end)
            day += _DAY

    def _of_day(self, day: date, begin: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield the spans of a local day that end after `begin`, cut to it."""
        whole_day = ((0, 24 * 60),) if not self.hours else ()
        for first, last in () if day in self.holidays else self.hours.get(day.weekday(), whole_day):
            opens, closes = self._at(day, first, is_end=False), self._at(day, last, is_end=True)
            if closes > begin and closes > opens:
                yield max(opens, begin), closes

    def _at(self, day: date, minute: int, *, is_end: bool) -> datetime:
        local = datetime.combine(day, time()) + timedelta(minutes=minute)
        return to_utc(local, ZoneInfo(self.zone), is_end=is_end)

    def _local_day(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.zone)).date()


ALWAYS = Calendar(name="always", zone="UTC", hours={})
