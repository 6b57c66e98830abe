"""The fleet overview, the figures and the watch list. Server-rendered; readable without JavaScript."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from fastapi.responses import RedirectResponse

from cloud.store import fleet_queries, queries
from cloud.web import changes, trend_charts
from cloud.web.auth import page_visitor
from cloud.web.health_strip import fault_words
from cloud.web.pages import InPage
from edge_agent.protocol.faults import FAULTS

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
Days = Annotated[int, Query(ge=1, le=3650)]
DEFAULT_DAYS = 90
MOST_GROUPS = 40  # lines of a table of figures
MOST_ABSENT = 10
MOST_WATCHED, MOST_BEFORE = 60, 20
LARGEST_ID = 2**31 - 1
TITLES = {code: fault.title for code, fault in FAULTS.items()}


@router.get("/fleet")
async def fleet(context: InPage, days: Days = DEFAULT_DAYS) -> Response:
    """Where does it hurt, and are our warnings any good?"""
    figures = await context.console.figures.get(context.console.database, context.console.now(), days)
    async with context.console.database.read() as session:
        values: dict[str, Any] = {
            "feed": await queries.last_entry_id(session),
            "presence": await fleet_queries.presence(session),
            "absent": await fleet_queries.absent(session, MOST_ABSENT),
            "fleet_status": await queries.fleet_status(session),
        }
    return context.page(
        "fleet.html", active="fleet", days=days, figures=figures, total=figures.report.total, heat=figures.heat,
        models=figures.models,
        heat_rows=trend_charts.heat_rows(figures.heat), titles=TITLES, **values,
    )  # fmt: skip


@router.get("/figures")
async def figures(context: InPage, days: Days = DEFAULT_DAYS) -> Response:
    """Are our warnings any good, and are they getting better?"""
    found = await context.console.figures.get(context.console.database, context.console.now(), days)
    tables = (
        ("Fault", found.report.by_fault),
        ("Detector and version", found.report.by_detector),
        ("Model", found.report.by_model),
        ("Site", found.report.by_site),
    )
    trends = [trend_charts.trend_view(trend) for trend in found.trends]
    return context.page(
        "figures.html", active="figures", total=found.report.total, tables=tables, days=days, trends=trends,
        made_at=found.at,
        most_drawn=trend_charts.MOST_DRAWN,
        most_groups=MOST_GROUPS,
    )  # fmt: skip


@router.get("/watch")
async def watch(
    context: InPage,
    device: Annotated[str, Query(max_length=64)] = "",
    fault: Annotated[str, Query(max_length=200)] = "",
    page: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> Response:
    """What may become a case, and what became of it?"""
    async with context.console.database.read() as session:
        values: dict[str, Any] = {
            "lines": await fleet_queries.watched_now(session, device, fault, MOST_WATCHED, page),
            "before": await fleet_queries.watched_before(session, device, fault, MOST_BEFORE),
            "counts": await fleet_queries.watch_counts(session, device),
            "feed": await queries.last_entry_id(session),
        }
    total = sum(count.episodes for count in values["counts"] if fault in ("", count.fault))
    query = {name: value for name, value in (("device", device), ("fault", fault)) if value}
    return context.page(
        "watch.html",
        active="watch",
        device=device,
        fault=fault,
        fault_words=fault_words,
        titles=TITLES,
        page=page,
        pages=max(1, -(-total // MOST_WATCHED)),
        total=total,
        size=MOST_WATCHED,
        address=lambda number: f"/watch?{urlencode({**query, 'page': number})}",
        **values,
    )


@router.post("/watch/{episode_id}/acknowledge")
async def acknowledge(context: InPage, episode_id: Annotated[int, Path(ge=1, le=LARGEST_ID)]) -> Response:
    """Say that I have seen it."""
    staff, who = context.console.case_service.staff, context.visitor.name
    try:
        await changes.commit(context.console, lambda session, now: staff.acknowledge(session, episode_id, who, now))
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
    return RedirectResponse("/watch", 303)
