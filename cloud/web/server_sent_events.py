"""Live pages: a stream of server-sent events that says which cases have changed and when a device last spoke.

What flows in: the bell and rows of the database. What flows out: events `changed` (case numbers; its id is where
the feed stands, so a browser that reconnects misses nothing) and `heard`. Pages fetch themselves what they show.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from anyio import CancelScope
from fastapi import APIRouter, Depends, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from cloud.change_signal import Bell
from cloud.store import queries
from cloud.web.auth import by_cookie, page_visitor
from cloud.web.context import Console, console_of

LOOK_EVERY_S = 5.0  # devices that only say they are well ring no bell

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


@router.get("/live", response_class=EventSourceResponse)
async def live(
    request: Request,
    console: Annotated[Console, Depends(console_of)],
    after: int = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Follow the feed from where the page was rendered, until the login ends or the service stops."""
    seen = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after
    heard: queries.Watch | None = None
    yield ServerSentEvent(comment="following", retry=2000)
    while not console.bell.closed:
        waiting = await _listen(console.bell)
        try:
            news = await _look(request, console, seen)
            if news is None:
                return
            if news.numbers:
                seen = news.seen
                yield ServerSentEvent(event="changed", id=str(seen), data={"cases": news.numbers})
            if news.watch != heard:
                heard = news.watch
                yield ServerSentEvent(event="heard", data=heard)
            await waiting
        finally:
            waiting.cancel()


@dataclass(frozen=True, slots=True)
class _News:
    seen: int
    numbers: list[int]
    watch: queries.Watch


async def _look(request: Request, console: Console, seen: int) -> _News | None:
    """Read what is new; None when the login is over.

    Browsers leave at any moment, and then this task is cancelled. The short reading is finished all the same: a
    connection that is torn out of its driver half-way can't go back to its pool.
    """
    news = None
    with CancelScope(shield=True):
        if await by_cookie(request, console):
            async with console.database.read() as session:
                seen, numbers = await queries.cases_changed_since(session, seen)
                news = _News(seen, numbers, await queries.watch(session))
    return news


async def _listen(bell: Bell) -> asyncio.Task[bool]:
    """Start to wait before the database is read, so that a ring during the reading is not missed."""
    waiting = asyncio.create_task(bell.wait(LOOK_EVERY_S))
    await asyncio.sleep(0)
    return waiting
