"""The health of a device day by day: the worst episode that was open on each. Pure.

What flows in: the spans of a device's episodes, and from when on it is known. What flows out: one value for each day of
UTC, and runs of days that are alike, for a sentence each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from edge_agent.protocol.faults import Severity

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One episode: from its first finding until it was resolved (None: it is open)."""

    start: datetime
    end: datetime | None
    severity: str
    fault: str
    component: str = ""
    case_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day and its worst episode; without one the device had nothing open, or was not known yet."""

    day: date
    known: bool
    worst: Span | None = None
    open: int = 0  # episodes that were open on this day


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Days one after the other whose worst episode has the same severity."""

    first: date
    last: date
    severity: str
    worst: tuple[Span, ...]  # the different worst episodes, in order


def days_of(spans: Sequence[Span], first_seen: datetime, now: datetime, count: int) -> tuple[Day, ...]:
    """Return the last `count` days, the oldest first, today last."""
    today = now.astimezone(UTC).date()
    days = [today - _DAY * back for back in range(count - 1, -1, -1)]
    first_day = first_seen.astimezone(UTC).date()
    open_on: dict[date, list[Span]] = {}
    for span in spans:
        begin = max(span.start.astimezone(UTC).date(), days[0])
        end = min((span.end or now).astimezone(UTC).date(), today)
        while begin <= end:
            open_on.setdefault(begin, []).append(span)
            begin += _DAY
    return tuple(_day(day, open_on.get(day, []), known=day >= first_day) for day in days)


def _day(day: date, spans: list[Span], *, known: bool) -> Day:
    worst = min(spans, key=lambda span: (_rank(span.severity), span.start), default=None)
    return Day(day=day, known=known or bool(spans), worst=worst, open=len(spans))


def _rank(severity: str) -> int:
    return Severity(severity).rank if severity in set(Severity) else len(Severity)


def runs_of(days: Iterable[Day]) -> tuple[Run, ...]:
    """Return the runs of days with something open, the newest first."""
    runs: list[list[Day]] = []
    for day in days:
        if day.worst is None:
            continue
        last = runs[-1][-1] if runs else None
        if last and last.worst and last.worst.severity == day.worst.severity and last.day + _DAY == day.day:
            runs[-1].append(day)
        else:
            runs.append([day])
    return tuple(_run(run) for run in reversed(runs))


def _run(days: list[Day]) -> Run:
    worst = tuple(dict.fromkeys(day.worst for day in days if day.worst))
    return Run(first=days[0].day, last=days[-1].day, severity=worst[0].severity, worst=worst)


def summary(days: Sequence[Day]) -> str:
    """Say in one sentence how many days were how bad."""
    counts = {
        severity: sum(d.worst is not None and d.worst.severity == severity for d in days) for severity in Severity
    }
    known = sum(day.known for day in days)
    good = sum(day.known and day.worst is None for day in days)
    parts = [f"{severity.value} on {_days(count)}" for severity, count in counts.items() if count]
    parts.append(f"nothing open on {_days(good)}")
    return f"Of {_days(known)}: {', '.join(parts)}."


def _days(count: int) -> str:
    return f"{count} day{'' if count == 1 else 's'}"
