"""The staff console: inbox, case, devices, login. Server-rendered; readable and usable without JavaScript.

What flows in: requests of logged-in staff. What flows out: pages, or a redirect to the page that shows the change.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from cloud.cases.cases import Refused
from cloud.store import queries
from cloud.store.tables import Label
from cloud.web import changes, view_models
from cloud.web.auth import PageVisitor, page_visitor
from cloud.web.context import Console, console_of
from cloud.web.filters import DEFAULT, read_filter
from cloud.web.render import page

MOST_ROWS = 200  # in one list; beyond that nobody reads on, they filter


@dataclass(frozen=True, slots=True)
class Desk:
    """Who asks for a page, and the surroundings it is made from."""

    request: Request
    visitor: PageVisitor
    console: Annotated[Console, Depends(console_of)]

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Render a page for this visitor."""
        return page(self.request, template, status, visitor=self.visitor, **values)


At = Annotated[Desk, Depends(Desk)]
BackTo = Annotated[str, Form(max_length=500)]  # "inbox:" and its filter, when the change was made there
router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


@router.get("/")
async def inbox(
    desk: At,
    q: str = DEFAULT,
    done: str = "",
    case: int = 0,
    label: str = "",
) -> Response:
    """What do I take next?"""
    sentence, total = "", 0
    lines: tuple[queries.CaseLine, ...] = ()
    async with desk.console.database.read() as session:
        try:
            wanted = read_filter(q, desk.visitor.name)
        except ValueError as error:
            sentence = str(error)
        else:
            lines = await queries.inbox(session, wanted, MOST_ROWS)
            total = await queries.count(session, wanted) if len(lines) == MOST_ROWS else len(lines)
        ids = [line.episodes[0].evidence_id or "" for line in lines if line.episodes]
        values: dict[str, Any] = {
            "tabs": await queries.tabs(session, desk.visitor.name),
            "watch": await queries.watch(session),
            "feed": await queries.last_entry_id(session),
        }
        sparks = await desk.console.sparklines.draw(session, ids)
    values |= {
        "q": q,
        "filter_error": sentence,
        "rows": [view_models.row(line, sparks) for line in lines],
        "total": total,
    }
    values["toast"] = view_models.toast(done, case, label)
    return desk.page("inbox.html", 400 if sentence else 200, active="inbox", **values)


@router.get("/cases/{number}")
async def case(desk: At, number: int, done: str = "", label: str = "") -> Response:
    """Is it real, how long have I got, what do I do?"""
    return await _case_page(desk, number, toast=view_models.toast(done, number, label))


async def _case_page(
    desk: Desk,
    number: int,
    *,
    toast: view_models.Toast | None = None,
    refused: str = "",
) -> Response:
    async with desk.console.database.read() as session:
        feed = await queries.last_entry_id(session)
        file = await queries.case_file(session, number)
    if file is None:
        raise HTTPException(404, f"There is no case {number}.")
    # a chart takes 0.1 s to make, and other readers shall not wait for it
    judgements = await asyncio.to_thread(view_models.judgements, file, desk.console.now())
    return desk.page(
        "case.html",
        409 if refused else 200,
        active="inbox",
        feed=feed,
        file=file,
        judgements=judgements,
        open=view_models.is_open(file.case),
        standing=view_models.standing(file.case, file.episodes[0] if file.episodes else None),
        toast=toast,
        refused=refused,
    )


@router.post("/cases/{number}/take")
async def take(desk: At, number: int, back: BackTo = "") -> Response:
    """Make the case mine."""
    change = changes.take(desk.console, number, desk.visitor.name)
    return await _changed(desk, number, change, {"done": "take"}, back)


@router.post("/cases/{number}/release")
async def release(desk: At, number: int, back: BackTo = "") -> Response:
    """Make the case nobody's."""
    change = changes.release(desk.console, number, desk.visitor.name)
    return await _changed(desk, number, change, {"done": "release"}, back)


@router.post("/cases/{number}/close")
async def close(
    desk: At,
    number: int,
    label: Annotated[Label, Form()],
    note: Annotated[str, Form(max_length=4000)] = "",
    back: BackTo = "",
) -> Response:
    """Say what the case really was."""
    change = changes.close(desk.console, number, desk.visitor.name, label, note.strip())
    return await _changed(desk, number, change, {"done": "close", "label": label}, back)


@router.post("/cases/{number}/reopen")
async def reopen(
    desk: At,
    number: int,
    reason: Annotated[str, Form(max_length=4000)] = "",
    label: Annotated[Label | None, Form()] = None,
    back: BackTo = "",
) -> Response:
    """Take the closing back. `label` is what the case was closed as: undoing this needs it again."""
    change = changes.reopen(desk.console, number, desk.visitor.name, reason.strip())
    done = {"done": "reopen"} | ({"label": label} if label else {})
    return await _changed(desk, number, change, done, back)


@router.post("/cases/{number}/note")
async def note(
    desk: At,
    number: int,
    text: Annotated[str, Form(max_length=4000)],
    back: BackTo = "",
) -> Response:
    """Write into the timeline."""
    change = changes.note(desk.console, number, desk.visitor.name, text.strip())
    return await _changed(desk, number, change, {"done": "note"}, back)


async def _changed(
    desk: Desk,
    number: int,
    change: changes.Change,
    done: dict[str, str],
    back: str,
) -> Response:
    """Commit, then show where it was done from: the inbox with its filter, or the case."""
    try:
        await changes.commit(desk.console, change)
    except LookupError:
        raise HTTPException(404, f"There is no case {number}.") from None
    except Refused as refusal:
        return await _case_page(desk, number, refused=str(refusal))
    if back.startswith("inbox:"):
        where = "/?" + urlencode({"q": back.removeprefix("inbox:"), "case": number, **done})
    else:
        where = f"/cases/{number}?" + urlencode(done)
    return RedirectResponse(where, 303)


@router.get("/devices")
async def devices(desk: At) -> Response:
    """What is being watched, and is it there?"""
    async with desk.console.database.read() as session:
        feed = await queries.last_entry_id(session)
        lines = await queries.devices(session)
        watch = await queries.watch(session)
    return desk.page("devices.html", active="devices", feed=feed, lines=lines, watch=watch)
