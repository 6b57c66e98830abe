"""Further actions on the page of a case: hand-over with its notices, snooze, merge, and leaving a problem."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Response
from fastapi.responses import RedirectResponse

from cloud.case_service.notices import mark_read
from cloud.cases.cases import Refused
from cloud.cases.silences import read_zone, to_utc
from cloud.store import queries, rule_queries
from cloud.web import changes
from cloud.web.auth import page_visitor
from cloud.web.formatting import SNOOZES
from cloud.web.input_limits import INTEGER_MAX
from cloud.web.pages import MOST_ROWS, BackTo, InPage, case_page, changed

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
Text = Annotated[str, Form(max_length=4000)]
Short = Annotated[str, Form(max_length=64)]


@router.post("/cases/{number}/hand-over")
async def hand_over(context: InPage, number: int, to: Short, note: Text = "") -> Response:
    """Give the case to a colleague."""
    change = changes.hand_over(context.console, number, context.visitor.name, to, note)
    return await changed(context, number, change, {"done": "hand_over"}, "")


@router.post("/cases/{number}/snooze")
async def snooze(  # noqa: PLR0913  the fields of the form
    context: InPage,
    number: int,
    until: Short = "",
    zone: Short = "UTC",
    snooze_for: Short = "",
    note: Text = "",
    back: BackTo = "",
) -> Response:
    """Put the case off: for a while, or until a local time."""
    try:
        at = context.console.now() + read_span(snooze_for) if snooze_for else read_local(until, zone)
    except Refused as refusal:
        return await case_page(context, number, refused=str(refusal))
    change = changes.snooze(context.console, number, context.visitor.name, at, note)
    return await changed(context, number, change, {"done": "snooze"}, back)


def read_span(text: str) -> timedelta:
    """Return how long a case is put off, such as 4h. Raises Refused."""
    if text not in SNOOZES:
        raise Refused(f"“{text}” is not a time to snooze for. Choose one of {', '.join(SNOOZES)}.")
    return timedelta(seconds=SNOOZES[text][1])


@router.post("/cases/{number}/wake")
async def wake(context: InPage, number: int) -> Response:
    """End the snooze."""
    change = changes.wake(context.console, number, context.visitor.name)
    return await changed(context, number, change, {"done": "wake"}, "")


@router.post("/cases/{number}/merge")
async def merge(context: InPage, number: int, into: Annotated[int, Form(ge=1, le=INTEGER_MAX)]) -> Response:
    """Continue in another case of the device."""
    change = changes.merge(context.console, number, into, context.visitor.name)
    return await changed(context, number, change, {"done": "merge"}, "")


@router.post("/cases/{number}/unmerge")
async def unmerge(context: InPage, number: int, reason: Text = "") -> Response:
    """Take the merge back."""
    change = changes.unmerge(context.console, number, context.visitor.name, reason)
    return await changed(context, number, change, {"done": "unmerge"}, "")


@router.post("/cases/{number}/unlink")
async def unlink(context: InPage, number: int, reason: Text = "") -> Response:
    """Take the case out of its problem."""
    change = changes.unlink(context.console, number, context.visitor.name, reason)
    return await changed(context, number, change, {"done": "unlink"}, "")


@router.get("/notices")
async def notices(context: InPage) -> Response:
    """What became of the cases that I handed over?"""
    async with context.console.database.read() as session:
        lines = await rule_queries.notices(session, context.visitor.name, MOST_ROWS)
        feed = await queries.last_entry_id(session)
    return context.page("notices.html", active="inbox", lines=lines, feed=feed)


@router.post("/notices/read")
async def read_notices(context: InPage) -> Response:
    """Say that I have read them."""
    who = context.visitor.name
    await changes.commit(context.console, lambda session, now: mark_read(session, who, now))
    return RedirectResponse("/notices", 303)


def read_local(text: str, zone: str, *, is_end: bool = True) -> datetime:
    """Return the instant of a form's local time, such as 2026-10-25T02:30, in a zone. Raises Refused."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(f"“{text[:40]}” is no date and time. Write for instance 2026-10-25 14:30.") from None
    if local.tzinfo is not None:
        return local.astimezone(UTC)
    try:
        return to_utc(local, read_zone(zone), is_end=is_end)
    except OverflowError:
        raise Refused(f"“{text[:40]}” is outside of the calendar.") from None
