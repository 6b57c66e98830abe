"""The staff console: the page of a case and its changes, devices. Server-rendered; usable without JavaScript.

What flows in: requests of logged-in staff. What flows out: pages, or a redirect to the page that shows the change.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import Field, field_validator

from cloud.cases.cases import Refused
from cloud.knowledge import library
from cloud.store import queries, rule_queries, service_queries
from cloud.web import case_charts, changes, service_views, view_models
from cloud.web.api_models import CloseIn
from cloud.web.auth import PageVisitor, page_visitor
from cloud.web.context import Console, console_of
from cloud.web.render import page
from cloud.web.toasts import Done, Toast
from cloud.web.viewers import sentence

MOST_ROWS = 200  # in one list; beyond that nobody reads on, they filter


class CloseForm(CloseIn):
    """The form that closes a case."""

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


@router.get("/cases/{number}")
async def case(context: InPage, number: int, done: Annotated[Done, Depends()]) -> Response:
    """Is it real, how long have I got, what do I do?"""
    return await case_page(context, number, toast=done.toast(number))


async def case_page(
    context: PageContext,
    number: int,
    *,
    toast: Toast | None = None,
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
    episode_views = view_models.episode_views(file, context.console.now())
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
        viewers=sentence(context.console.viewers.others(number, context.visitor.name, context.console.now())),
        refused=refused,
    )


@router.get("/cases/{number}/charts/{episode}")
async def charts(context: InPage, number: int, episode: int) -> JSONResponse:
    """Return the specifications of the charts of an episode, for the script that draws them with tooltips."""
    async with context.console.database.read() as session:
        file = await queries.case_file(session, number)
    found = [each for each in file.episodes if each.id == episode] if file else []
    if not file or not found:
        raise HTTPException(404, f"Case {number} has no episode {episode}.")
    rows = file.evidence.get(found[0].evidence_id or "", ())
    curves = case_charts.framed(found[0], rows, context.console.now())
    is_leading = found[0] is file.episodes[0]
    # a chart takes 0.1 s to make, and other readers shall not wait for it
    specs = await asyncio.to_thread(case_charts.specifications, curves, is_leading=is_leading)
    return JSONResponse(specs, headers={"Cache-Control": "no-store"})


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
    change = changes.close(context.console, number, context.visitor.name, form.outcome())
    return await changed(context, number, change, {"done": "close", "label": form.label}, form.back)


@router.post("/cases/{number}/reopen")
async def reopen(
    context: InPage,
    number: int,
    reason: Annotated[str, Form(max_length=4000)] = "",
    back: BackTo = "",
) -> Response:
    """Take the closing back."""
    change = changes.reopen(context.console, number, context.visitor.name, reason.strip())
    return await changed(context, number, change, {"done": "reopen"}, back)


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
    """Commit, then show where it was done from, with the means to undo it: the inbox with its filter, or the case."""
    try:
        token = await changes.commit_undoable(context.console, done["done"], [number], change, context.visitor.name)
    except LookupError:
        raise HTTPException(404, f"There is no case {number}.") from None
    except Refused as refusal:
        return await case_page(context, number, refused=str(refusal))
    return RedirectResponse(back_to(back, number, done | ({"undo": token} if token else {})), 303)


def back_to(back: str, number: int, done: Mapping[str, str | int]) -> str:
    """Return the address that shows what was done: the inbox with the filter in `back`, or a case."""
    if back.startswith("inbox:"):
        where = {"q": back.removeprefix("inbox:")} | ({"case": number} if number else {})
        return "/?" + urlencode({**where, **done})
    return f"/cases/{number}?" + urlencode(done)
