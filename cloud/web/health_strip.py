"""The health strip of a device's page: a bar for each day, drawn by the server, with its words. Pure.

A bar's height, its mark and its colour say the same: the severity of the worst episode that was open on that day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from cloud.cases.device_health import Day, Run, runs_of, summary
from edge_agent.protocol.faults import FAULTS, Severity

DAYS, DAYS_ON_PHONES = 60, 28
CELL, HEIGHT, BASE = 16, 92, 70  # SVG units; the bars stand on BASE
_TALL = {Severity.CRITICAL: 50, Severity.HIGH: 38, Severity.WARNING: 27, Severity.INFO: 16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One day."""

    x: int
    y: int
    height: int
    kind: str  # a severity, "good", or "unknown" before the device was first seen
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """All days."""

    width: int
    height: int
    base: int
    summary: str
    bars: tuple[Bar, ...]
    weeks: tuple[tuple[int, str], ...]  # where a Monday is, and its date
    runs: tuple[Run, ...]


def strip_of(days: Sequence[Day]) -> Strip:
    """Return the strip of these days."""
    mondays = [(place * CELL, in_words(day.day)) for place, day in enumerate(days) if day.day.weekday() == 0]
    return Strip(
        width=CELL * len(days),
        height=HEIGHT,
        base=BASE,
        summary=summary(days),
        bars=tuple(_bar(place, day) for place, day in enumerate(days)),
        weeks=tuple(mondays),
        runs=runs_of(days),
    )


def _bar(place: int, day: Day) -> Bar:
    kind = day.worst.severity if day.worst else "good" if day.known else "unknown"
    tall = _TALL.get(Severity(kind), 16) if day.worst and kind in set(Severity) else 4
    return Bar(x=place * CELL, y=BASE - tall, height=tall, kind=kind, text=f"{in_words(day.day)}: {_day_text(day)}")


def _day_text(day: Day) -> str:
    if day.worst is None:
        return "nothing open" if day.known else "not seen yet"
    more = f", and {day.open - 1} more" if day.open > 1 else ""
    return f"{day.worst.severity}, {fault_words(day.worst.fault, day.worst.component)}{more}"


def fault_words(fault: str, component: str) -> str:
    """Return a fault's title with its component."""
    title = FAULTS[fault].title if fault in FAULTS else fault
    return f"{title} ({component})" if component else title


def in_words(day: date) -> str:
    """Return a day as ``3 Nov``."""
    return f"{day.day} {day:%b}"
