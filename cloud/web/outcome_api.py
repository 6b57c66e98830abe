"""The REST API, version 1: what was learned from closed cases."""

from datetime import timedelta

from fastapi import APIRouter, Depends
from pydantic import AwareDatetime, BaseModel

from cloud.cases.figures import Report
from cloud.web.api import Here
from cloud.web.auth import api_visitor
from cloud.web.fleet_pages import DEFAULT_DAYS, Days

router = APIRouter(prefix="/api/v1", dependencies=[Depends(api_visitor)])


class FiguresOut(BaseModel):
    """The figures of the cases that were opened in a period. Durations are in seconds, shares from 0 to 1."""

    since: AwareDatetime
    until: AwareDatetime
    figures: Report


@router.get("/figures")
async def figures(console: Here, days: Days = DEFAULT_DAYS) -> FiguresOut:
    """Return precision, lead times, false cases and times of work, by fault, detector, model and site."""
    now = console.now()
    found = await console.figures.get(console.database, now, days)
    return FiguresOut(since=found.at - timedelta(days=days), until=found.at, figures=found.report)
