"""Pages of what could not be stored, and of the service calendars."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response

from cloud.cases.calendars import ALWAYS, DAYS, CalendarTable
from cloud.store import delivery_queries, queries
from cloud.web.auth import page_visitor
from cloud.web.formatting import duration
from cloud.web.pages import InPage

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
PAGE_SIZE = 100
MOST_CAUSES = 50
SHOWN = 4096  # bytes of a payload on its page
LARGEST_ID = 2**31 - 1
_DAY_NAMES = dict(zip(DAYS, ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), strict=True))


@router.get("/dead-letters")
async def dead_letters(
    context: InPage,
    device: Annotated[str, Query(max_length=64)] = "",
    cause: Annotated[str, Query(max_length=500)] = "",
    before: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
) -> Response:
    """What could not be stored, why, and what did that cost?"""
    async with context.console.database.read() as session:
        lines = await delivery_queries.dead_letters(session, PAGE_SIZE, device=device, cause=cause, before=before)
        causes = await delivery_queries.causes(session, MOST_CAUSES, device)
        feed = await queries.last_entry_id(session)
    return context.page(
        "dead_letters.html", active="devices", lines=lines, causes=causes, device=device, cause=cause, feed=feed,
        older=lines[-1].id if len(lines) == PAGE_SIZE else None, newest=before is None,
    )  # fmt: skip


@router.get("/dead-letters/{id_}")
async def dead_letter(context: InPage, id_: Annotated[int, Path(ge=1, le=LARGEST_ID)]) -> Response:
    """What was in it?"""
    async with context.console.database.read() as session:
        row = await delivery_queries.dead_letter(session, id_)
    if row is None:
        raise HTTPException(404, f"There is no dead letter {id_}; the oldest are deleted when there are too many.")
    return context.page("dead_letter.html", active="devices", letter=row, content=readable(row.payload), shown=SHOWN)


@dataclass(frozen=True, slots=True)
class Content:
    """A payload as a page can show it: never run, never interpreted."""

    kind: str
    text: str
    is_cut: bool


def readable(payload: bytes) -> Content:
    """Return a payload as text if it is one, else as bytes in hexadecimal, 16 in a line."""
    some = payload[:SHOWN]
    try:
        text = some.decode()
    except UnicodeDecodeError as error:
        text = some[: error.start].decode() if error.start > len(some) - 4 and len(payload) > SHOWN else ""
    printable = "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)
    if text and printable.count("�") * 20 < len(printable):
        return Content("text", printable, len(payload) > SHOWN)
    return Content("bytes", _hexadecimal(some), len(payload) > SHOWN)


def _hexadecimal(some: bytes) -> str:
    lines = []
    for first in range(0, len(some), 16):
        row = some[first : first + 16]
        signs = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{first:04x}  {row.hex(' '):<47}  {signs}")
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarView:
    """A calendar in words."""

    name: str
    zone: str
    hours: tuple[tuple[str, str], ...]  # day and its spans; empty: always
    holidays: tuple[str, ...]
    is_open: bool
    next_open: datetime | None


@router.get("/calendars")
async def calendars(context: InPage) -> Response:
    """When does which clock run?"""
    times = context.console.service_times
    now = context.console.now()
    views = [_calendar(name, table, now) for name, table in sorted(times.calendars.items())]
    goals = [
        (severity, goal.calendar or ALWAYS.name, _goal(goal.acknowledge_s), _goal(goal.first_response_s),
         _goal(goal.resolution_s), _goal(goal.customer_s))
        for severity, goal in times.levels
    ]  # fmt: skip
    return context.page("calendars.html", active="devices", calendars=views, goals=goals, office=times.office)


def _goal(seconds: float) -> str:
    return duration(seconds) if seconds else "no goal"


def _calendar(name: str, table: CalendarTable, now: datetime) -> CalendarView:
    calendar = table.calendar(name)
    opens = calendar.next_open(now)
    spans = tuple((_DAY_NAMES[day], ", ".join(table.hours.get(day, ())) or "closed") for day in DAYS)
    return CalendarView(
        name=name,
        zone=table.zone,
        hours=spans if table.hours else (),
        holidays=tuple(sorted(table.holidays)),
        is_open=opens == now,
        next_open=None if opens == now else opens,
    )
