"""The staff console: inbox, case, devices, login. Server-rendered; readable and usable without JavaScript.

What flows in: requests of logged-in staff. What flows out: pages, or a redirect to the page that shows the change.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field, field_validator

from cloud.cases.cases import Refused
from cloud.knowledge import library
from cloud.store import queries, rule_queries, service_queries
from cloud.store.tables import Label
from cloud.web import changes, service_views, view_models
from cloud.web.api_models import CloseIn
from cloud.web.auth import PageVisitor, page_visitor
from cloud.web.context import Console, console_of
from cloud.web.filters import DEFAULT, read_filter
from cloud.web.render import page

MOST_ROWS = 200  # in one list; beyond that nobody reads on, they filter


class CloseForm(CloseIn):
    """The form that closes a case. `again`: as it was closed before, which undoes a reopening."""

    again: bool = False
    back: str = Field(default="", max_length=500)

    @field_validator("impact_at", mode="before")
    @classmethod
    def _in_utc(cls, value: str) -> datetime | None:
        """Read what a browser sends for a local time, which the form asks for in UTC."""
        return datetime.fromisoformat(value).replace(tzinfo=UTC) if value else None


@dataclass(frozen=True, slots=True)
class PageContext:
    """Who asks for a page, and the surroundings it is made from."""

    request: Request
    visitor: PageVisitor
    console: Annotated[Console, Depends(console_of)]

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Render a page for this visitor."""
        return page(self.request, template, status, visitor=self.visitor, **values)


InPage = Annotated[PageContext, Depends(PageContext)]
BackTo = Annotated[str, Form(max_length=500)]  # "inbox:" and its filter, when the change was made there
router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


@router.get("/")
async def inbox(
    context: InPage,
    q: str = DEFAULT,
    done: str = "",
    case: int = 0,
    label: str = "",
) -> Response:
    """What do I take next?"""
    sentence, total = "", 0
    lines: tuple[queries.CaseLine, ...] = ()
    async with context.console.database.read() as session:
        try:
            wanted = read_filter(q, context.visitor.name)
        except ValueError as error:
            sentence = str(error)
        else:
            wanted = replace(wanted, grouped=q.strip() == DEFAULT)
            lines = await queries.inbox(session, wanted, MOST_ROWS)
            total = await queries.count(session, wanted) if len(lines) == MOST_ROWS else len(lines)
        ids = [line.episodes[0].evidence_id or "" for line in lines if line.episodes]
        values: dict[str, Any] = {
            "tabs": await queries.tabs(session, context.visitor.name),
            "fleet_status": await queries.fleet_status(session),
            "feed": await queries.last_entry_id(session),
            "problems": await rule_queries.problems(session, MOST_ROWS, open_only=True),
        }
        sparks = await context.console.sparklines.draw(session, ids)
        values["due"] = await service_queries.next_due(session, [line.case.number for line in lines])
    values |= {
        "q": q,
        "filter_error": sentence,
        "rows": [view_models.row(line, sparks) for line in lines],
        "total": total,
    }
    values["toast"] = view_models.toast(done, case, label)
    return context.page("inbox.html", 400 if sentence else 200, active="inbox", **values)


@router.get("/cases/{number}")
async def case(context: InPage, number: int, done: str = "", label: str = "") -> Response:
    """Is it real, how long have I got, what do I do?"""
    return await case_page(context, number, toast=view_models.toast(done, number, label))


async def case_page(
    context: PageContext,
    number: int,
    *,
    toast: view_models.Toast | None = None,
    refused: str = "",
) -> Response:
    """Render the page of a case; with the sentence why a change was refused, if one was."""
    async with context.console.database.read() as session:
        feed = await queries.last_entry_id(session)
        file = await queries.case_file(session, number)
        if file is None:
            raise HTTPException(404, f"There is no case {number}.")
        links = await rule_queries.case_links(session, file.case, file.episodes)
        articles = await library.articles(session, list(dict.fromkeys(each.fault for each in file.episodes)))
        similar = await library.similar_cases(session, number)
        clocks = await service_queries.clocks(session, number)
        mails = await service_queries.mails_of(session, number, file.case.problem_number)
    # a chart takes 0.1 s to make, and other readers shall not wait for it
    episode_views = await asyncio.to_thread(view_models.episode_views, file, context.console.now())
    return context.page(
        "case.html",
        409 if refused else 200,
        active="inbox",
        feed=feed,
        file=file,
        links=links,
        clocks=service_views.clock_views(clocks),
        mails=service_views.mail_views(mails),
        episode_views=episode_views,
        open=view_models.is_open(file.case),
        impact_status=view_models.impact_status(file.case, file.episodes[0] if file.episodes else None),
        articles=articles,
        similar=similar,
        toast=toast,
        refused=refused,
    )


@router.post("/cases/{number}/take")
async def take(context: InPage, number: int, back: BackTo = "") -> Response:
    """Make the case mine."""
    change = changes.take(context.console, number, context.visitor.name)
    return await changed(context, number, change, {"done": "take"}, back)


@router.post("/cases/{number}/release")
async def release(context: InPage, number: int, back: BackTo = "") -> Response:
    """Make the case nobody's."""
    change = changes.release(context.console, number, context.visitor.name)
    return await changed(context, number, change, {"done": "release"}, back)


@router.post("/cases/{number}/close")
async def close(
    context: InPage,
    number: int,
    form: Annotated[CloseForm, Form()],
) -> Response:
    """Say what the case really was."""
    name = context.visitor.name
    change = (
        changes.close_again(context.console, number, name)
        if form.again
        else changes.close(context.console, number, name, form.outcome())
    )
    return await changed(context, number, change, {"done": "close", "label": form.label}, form.back)


@router.post("/cases/{number}/reopen")
async def reopen(
    context: InPage,
    number: int,
    reason: Annotated[str, Form(max_length=4000)] = "",
    label: Annotated[Label | None, Form()] = None,
    back: BackTo = "",
) -> Response:
    """Take the closing back. `label` is what the case was closed as: undoing this needs it again."""
    change = changes.reopen(context.console, number, context.visitor.name, reason.strip())
    done = {"done": "reopen"} | ({"label": label} if label else {})
    return await changed(context, number, change, done, back)


@router.post("/cases/{number}/note")
async def note(
    context: InPage,
    number: int,
    text: Annotated[str, Form(max_length=4000)],
    back: BackTo = "",
) -> Response:
    """Write into the timeline."""
    change = changes.note(context.console, number, context.visitor.name, text.strip())
    return await changed(context, number, change, {"done": "note"}, back)


async def changed(
    context: PageContext,
    number: int,
    change: changes.Change,
    done: dict[str, str],
    back: str,
) -> Response:
    """Commit, then show where it was done from: the inbox with its filter, or the case."""
    try:
        await changes.commit(context.console, change)
    except LookupError:
        raise HTTPException(404, f"There is no case {number}.") from None
    except Refused as refusal:
        return await case_page(context, number, refused=str(refusal))
    if back.startswith("inbox:"):
        where = "/?" + urlencode({"q": back.removeprefix("inbox:"), "case": number, **done})
    else:
        where = f"/cases/{number}?" + urlencode(done)
    return RedirectResponse(where, 303)
