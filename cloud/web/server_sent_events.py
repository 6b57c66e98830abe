"""Live pages: a stream of server-sent events with the cases that have changed and the time of the last message.

What flows in: the change_signal and rows of the database. What flows out: events `changed` (case numbers; its id is the
position in the feed, so a browser that reconnects misses nothing) and `devices` (counts and the time of the last
message). Pages fetch their own content.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from anyio import CancelScope
from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from cloud.change_signal import ChangeSignal
from cloud.store import queries
from cloud.web.auth import by_cookie, page_visitor
from cloud.web.context import Console, console_of

POLL_EVERY_S = 5.0  # messages that change no case do not notify the change signal

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


@router.get("/live", response_class=EventSourceResponse)
async def live(
    request: Request,
    console: Annotated[Console, Depends(console_of)],
    after: int = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Stream changes since the page was rendered, until the login ends or the service stops."""
    seen = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after
    sent: queries.FleetStatus | None = None
    yield ServerSentEvent(comment="following", retry=2000)
    while not console.change_signal.closed:
        waiting = await _start_waiting(console.change_signal)
        try:
            changes = await _read_changes(request, console, seen)
            if changes is None:
                return
            if changes.numbers:
                seen = changes.seen
                yield ServerSentEvent(event="changed", id=str(seen), data={"cases": changes.numbers})
            if changes.fleet_status != sent:
                sent = changes.fleet_status
                yield ServerSentEvent(event="devices", data=sent)
            await waiting
        finally:
            waiting.cancel()


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
