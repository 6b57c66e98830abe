"""Silences and maintenance windows: what they cover, and when. Pure.

A silence is one span of time; a maintenance window repeats on weekdays within its span. Both are entered in local time
of an IANA zone, and hold instants in UTC. At a change to summer time a local time that does not exist means the instant
of the change; at a change back, a start means the first of the two instants and an end the second, so that a window is
never shorter than it reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cloud.cases.cases import Refused
from cloud.cases.episodes import ActiveSilence

LONGEST = timedelta(days=366)
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a silence may cover: a fault of a device."""

    device: str
    fault: str
    site: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What the rules need to know of a silence; `number` is 0 until the store has given it one.

    A field that is empty covers everything; all that are not empty must fit.
    """

    number: int = 0
    owner: str
    reason: str
    zone: str
    device: str = ""
    site: str = ""
    model: str = ""
    fault: str = ""
    starts_at: datetime
    ends_at: datetime
    weekdays: tuple[int, ...] = ()  # 0 is Monday; empty: the whole span
    from_time: time | None = None  # local, on each of the weekdays
    to_time: time | None = None  # local; not later than from_time: on the next day
    ended_at: datetime | None = None  # by a person, before its time
    ended_by: str = ""

    def covers(self, subject: Subject) -> bool:
        """Whether all its conditions fit."""
        pairs = (
            (self.device, subject.device),
            (self.site, subject.site),
            (self.model, subject.model),
            (self.fault, subject.fault),
        )
        return all(wanted in ("", given) for wanted, given in pairs)


def to_utc(local: datetime, zone: ZoneInfo, *, is_end: bool) -> datetime:
    """Return the instant of a local time without a zone, see the module's docstring for the days of a change."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return second if is_end else first
    low, high = second, first  # the time does not exist: find the change between the two readings of it
    before = low.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        if middle.astimezone(zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def active_until(silence: Silence, now: datetime) -> datetime | None:
    """Return the end of the silence, or of its present window; None if it is not active now."""
    ends_at = min(silence.ends_at, silence.ended_at or silence.ends_at)
    if not silence.starts_at <= now < ends_at:
        return None
    if not silence.weekdays:
        return ends_at
    zone = ZoneInfo(silence.zone)
    today = now.astimezone(zone).date()
    for day in (today - timedelta(days=1), today):
        begins, ends = window(silence, day)
        if day.weekday() in silence.weekdays and begins <= now < ends:
            return min(ends, ends_at)
    return None


def window(silence: Silence, day: date) -> tuple[datetime, datetime]:
    """Return the instants of the window that begins on a local day."""
    assert silence.from_time is not None
    assert silence.to_time is not None
    zone = ZoneInfo(silence.zone)
    last_day = day if silence.to_time > silence.from_time else day + timedelta(days=1)
    begins = to_utc(datetime.combine(day, silence.from_time), zone, is_end=False)
    return begins, to_utc(datetime.combine(last_day, silence.to_time), zone, is_end=True)


def find_silence(subject: Subject, silences: Iterable[Silence], now: datetime) -> ActiveSilence | None:
    """Return the active silence that covers a fault for longest."""
    found = [
        (until, silence)
        for silence in silences
        if silence.covers(subject) and (until := active_until(silence, now)) is not None
    ]
    if not found:
        return None
    until, silence = max(found, key=lambda pair: (pair[0], -pair[1].number))
    return ActiveSilence(number=silence.number, until=until, reason=_why(silence, until))


def validated(silence: Silence, now: datetime) -> Silence:
    """Return a silence that a person wants to create, or raise Refused with what is wrong with it."""
    if not silence.reason.strip():
        raise Refused("Enter a reason for the silence.")
    if silence.ends_at <= max(now, silence.starts_at):
        raise Refused("The end of the silence must be after its start, and in the future.")
    if silence.ends_at - silence.starts_at > LONGEST:
        raise Refused("A silence lasts at most a year.")
    if not (silence.device or silence.site or silence.model or silence.fault):
        raise Refused("Choose a device, site, model or fault. A silence of everything is not allowed.")
    if silence.weekdays and (silence.from_time is None or silence.to_time is None):
        raise Refused("A window on weekdays needs a time from and a time to.")
    return silence


def read_zone(name: str) -> ZoneInfo:
    """Return an IANA zone. Raises Refused."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise Refused(f"“{name}” is no IANA time zone. Write for instance Europe/Berlin.") from None


def in_words(silence: Silence) -> str:
    """Say when a silence is active, in its own zone."""
    zone = ZoneInfo(silence.zone)
    begins, ends = (f"{at.astimezone(zone):%Y-%m-%d %H:%M}" for at in (silence.starts_at, silence.ends_at))
    span = f"{begins} to {ends} ({silence.zone})"
    if not silence.weekdays or silence.from_time is None or silence.to_time is None:
        return span
    days = ", ".join(WEEKDAYS[day] for day in silence.weekdays)
    return f"{days} {silence.from_time:%H:%M} to {silence.to_time:%H:%M}, {span}"


def _why(silence: Silence, until: datetime) -> str:
    local = until.astimezone(ZoneInfo(silence.zone))
    return (
        f"silence {silence.number} of {silence.owner} until {local:%Y-%m-%d %H:%M} ({silence.zone}): "
        f"{silence.reason.strip()}"
    )
