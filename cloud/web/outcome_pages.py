"""The pages of what was learned: figures. Server-rendered; readable without JavaScript.

What flows in: requests of logged-in staff. What flows out: pages, or a redirect to the page that shows the change.
"""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.figures import Report, report
from cloud.store import figures_queries
from cloud.web.auth import page_visitor
from cloud.web.pages import InPage

Days = Annotated[int, Query(ge=1, le=3650)]
DEFAULT_DAYS = 90
router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


async def report_of(session: AsyncSession, now: datetime, days: int) -> Report:
    """Return the figures of the last days."""
    since = now - timedelta(days=days)
    return report(
        await figures_queries.case_facts(session, since, now),
        await figures_queries.watched(session, since, now),
        await figures_queries.sightings(session, since, now),
    )


@router.get("/figures")
async def figures(context: InPage, days: Days = DEFAULT_DAYS) -> Response:
    """Are our warnings any good?"""
    async with context.console.database.read() as session:
        found = await report_of(session, context.console.now(), days)
    tables = (
        ("Fault", found.by_fault),
        ("Detector and version", found.by_detector),
        ("Model", found.by_model),
        ("Site", found.by_site),
    )
    return context.page("figures.html", active="figures", total=found.total, tables=tables, days=days)
