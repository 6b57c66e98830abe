"""Live pages: a stream of server-sent events with the cases that have changed and the time of the last message.

What flows in: the change_signal and rows of the database. What flows out: events `changed` (case numbers; its id is the
position in the feed, so a browser that reconnects misses nothing), `devices` (counts and the time of the last
message) and, for the page of a case, `viewers` (who else has it open). Pages fetch their own content.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Annotated

from anyio import CancelScope
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from cloud.change_signal import ChangeSignal
from cloud.store import queries
from cloud.web.auth import PageVisitor, by_cookie, page_visitor
from cloud.web.context import Console, console_of
from cloud.web.viewers import sentence

POLL_EVERY_S = 5.0  # messages that change no case do not notify the change signal
_LAST_ID = (1 << 63) - 1

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


@router.get("/live", response_class=EventSourceResponse)
async def live(
    request: Request,
    visitor: PageVisitor,
    console: Annotated[Console, Depends(console_of)],
    after: int = 0,
    case: Annotated[int, Query(ge=0, lt=1 << 53)] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Stream changes since the page was rendered, until the login ends or the service stops."""
    yield ServerSentEvent(comment="following", retry=2000)
    seen = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after
    sent = _Sent(seen=min(seen, _LAST_ID))
    key = _enter(console, case, visitor.name)
    try:
        while not console.change_signal.closed:
            waiting = await _start_waiting(console.change_signal)
            try:
                changes = await _read_changes(request, console, sent.seen)
                if changes is None:
                    return
                for event in (*_news(sent, changes), *_who_else(console, sent, (case, key, visitor.name))):
                    yield event
                await waiting
            finally:
                waiting.cancel()
    finally:
        _leave(console, case, key)


@dataclass(slots=True)
class _Sent:
    """What a page knows already."""

    seen: int
    fleet_status: queries.FleetStatus | None = None
    viewers: tuple[str, ...] = ()


def _news(sent: _Sent, changes: "_Changes") -> Iterator[ServerSentEvent]:
    if changes.numbers:
        sent.seen = changes.seen
        yield ServerSentEvent(event="changed", id=str(changes.seen), data={"cases": changes.numbers})
    if changes.fleet_status != sent.fleet_status:
        sent.fleet_status = changes.fleet_status
        yield ServerSentEvent(event="devices", data=changes.fleet_status)


def _enter(console: Console, case: int, name: str) -> int:
    """Note a viewer of a case, and wake the pages of the others."""
    if not case:
        return 0
    key = console.viewers.enter(case, name, console.now())
    console.change_signal.notify()
    return key


def _leave(console: Console, case: int, key: int) -> None:
    if case:
        console.viewers.leave(case, key)
        console.change_signal.notify()


def _who_else(console: Console, sent: _Sent, here: tuple[int, int, str]) -> Iterator[ServerSentEvent]:
    """Keep this page's place among the viewers of its case, and name the others if they are not the same as before."""
    case, key, name = here
    if not case:
        return
    console.viewers.stay(case, key, name, console.now())
    others = console.viewers.others(case, name, console.now())
    if others != sent.viewers:
        sent.viewers = others
        yield ServerSentEvent(event="viewers", data={"text": sentence(others)})


@dataclass(frozen=True, slots=True)
class _Changes:
    seen: int
    numbers: list[int]
    fleet_status: queries.FleetStatus


async def _read_changes(request: Request, console: Console, seen: int) -> _Changes | None:
    """Read what is new; None when the login is over.

    Browsers disconnect at any moment, and then this task is cancelled. The short read is finished all the same: a
    connection that is interrupted in its driver can't go back to its pool.
    """
    changes = None
    with CancelScope(shield=True):
        if await by_cookie(request, console, is_use=False):
            async with console.database.read() as session:
                seen, numbers = await queries.cases_changed_since(session, seen)
                changes = _Changes(seen, numbers, await queries.fleet_status(session))
    return changes


async def _start_waiting(change_signal: ChangeSignal) -> asyncio.Task[bool]:
    """Start to wait before the database is read, so that a notification during the read is not missed."""
    waiting = asyncio.create_task(change_signal.wait(POLL_EVERY_S))
    await asyncio.sleep(0)
    return waiting
