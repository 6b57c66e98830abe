"""The inbox: the cases that fit a filter, a page at a time, with the views that staff have saved.

What flows in: requests of logged-in staff. What flows out: the page, or one that says what the filter should be.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store import queries, rule_queries, saved_views, service_queries
from cloud.store.tables import Account
from cloud.web import view_models
from cloud.web.auth import page_visitor
from cloud.web.filters import DEFAULT, read_filter
from cloud.web.pages import MOST_ROWS, InPage, PageContext
from cloud.web.toasts import Done, Toast

PAGE_ROWS = 50  # of the inbox: 40 px each, and the page stays below 100 kB
LAST_PAGE = 10_000
PageNumber = Annotated[int, Query(ge=1, le=LAST_PAGE)]
router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pager:
    """Which rows of how many a page shows, and the addresses of the pages beside it."""

    first: int
    last: int
    total: int
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewTab:
    """A saved view with its count; `error` says why its filter is not understood any more."""

    view: saved_views.View
    count: str
    error: str = ""


@router.get("/")
async def inbox(context: InPage, done: Annotated[Done, Depends()], q: str = DEFAULT, page: PageNumber = 1) -> Response:
    """What do I take next?"""
    return await inbox_page(context, q, page, toast=done.toast())


async def inbox_page(
    context: PageContext, q: str, page: int = 1, *, toast: Toast | None = None, refused: str = ""
) -> Response:
    """Render the inbox; with the sentence why a change was refused, if one was."""
    sentence, wanted = "", None
    try:
        wanted = read_filter(q, context.visitor.name)
    except ValueError as error:
        sentence = str(error)
    async with context.console.database.read() as session:
        values = await _around(session, context.visitor.name)
        values |= await _rows(session, context, wanted, q, page)
    status = 400 if sentence else 409 if refused else 200
    return context.page(
        "inbox.html", status, active="inbox", q=q, filter_error=sentence, toast=toast, refused=refused, **values
    )


async def _around(session: AsyncSession, me: str) -> dict[str, Any]:
    """Read what stands around the rows."""
    return {
        "tabs": await queries.tabs(session, me),
        "views": await _view_tabs(session, me),
        "accounts": list(await session.scalars(select(Account.name).order_by(Account.name))),
        "fleet_status": await queries.fleet_status(session),
        "feed": await queries.last_entry_id(session),
    }


async def _rows(
    session: AsyncSession, context: PageContext, wanted: queries.CaseFilter | None, q: str, page: int
) -> dict[str, Any]:
    """Read the rows of one page; a page after the last one shows the last one."""
    if wanted is None:
        return {"rows": [], "pager": pager(q, 1, 0), "due": {}, "problems": ()}
    grouped = q.strip() == DEFAULT
    wanted = replace(wanted, grouped=grouped)
    total = await queries.count(session, wanted)
    page = min(page, max(1, -(-total // PAGE_ROWS)))
    lines = await queries.inbox(session, wanted, PAGE_ROWS, (page - 1) * PAGE_ROWS)
    ids = [line.episodes[0].evidence_id or "" for line in lines if line.episodes]
    sparks = await context.console.sparklines.draw(session, ids)
    return {
        "rows": [view_models.row(line, sparks) for line in lines],
        "pager": pager(q, page, total),
        "due": await service_queries.next_due(session, [line.case.number for line in lines]),
        "problems": await rule_queries.problems(session, MOST_ROWS, open_only=True) if grouped and page == 1 else (),
    }


async def _view_tabs(session: AsyncSession, me: str) -> list[ViewTab]:
    """Read the saved views with their counts; a filter that is no longer understood has none."""
    views = await saved_views.views_of(session, me)
    wanted: dict[int, queries.CaseFilter] = {}
    errors: dict[int, str] = {}
    for view in views:
        try:
            wanted[view.id] = read_filter(view.filter, me)
        except ValueError as error:
            errors[view.id] = str(error)
    found = dict(zip(wanted, await saved_views.counts(session, list(wanted.values())), strict=True))
    return [ViewTab(view=view, count=_count(found.get(view.id)), error=errors.get(view.id, "")) for view in views]


def _count(cases: int | None) -> str:
    if cases is None:
        return "?"
    return str(cases) if cases <= saved_views.MOST_COUNTED else f"{saved_views.MOST_COUNTED}+"


def pager(q: str, page: int, total: int) -> Pager:
    """Return what stands below the rows of a page."""
    last = min(page * PAGE_ROWS, total)
    return Pager(
        first=(page - 1) * PAGE_ROWS + 1 if total else 0,
        last=last,
        total=total,
        before=_address(q, page - 1) if page > 1 else "",
        after=_address(q, page + 1) if last < total and page < LAST_PAGE else "",
    )


def _address(q: str, page: int) -> str:
    return "/?" + urlencode({"q": q} | ({"page": page} if page > 1 else {}))
