"""The REST API of service levels and mails."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from cloud.store import service_queries
from cloud.store.tables import SupportCase
from cloud.web import changes
from cloud.web.api import MOST_ROWS, Here, changed
from cloud.web.api_models import CaseDetail
from cloud.web.auth import ApiVisitor, api_visitor

router = APIRouter(prefix="/api/v1", dependencies=[Depends(api_visitor)])
_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"description": "not found"}}


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ContactIn(BaseModel):
    """What was said to the customer."""

    note: str = Field(default="", max_length=4000)


class ClockOut(_Row):
    """A clock of a case: it runs, is paused (neither running nor stopped), or has stopped."""

    kind: str
    calendar: str
    goal_s: float
    started_at: datetime
    spent_s: float
    running_since: datetime | None
    due_at: datetime | None
    stopped_at: datetime | None
    breached_at: datetime | None


class ClockList(BaseModel):
    """The clocks of a case."""

    clocks: list[ClockOut]


class MailOut(_Row):
    """A mail with its outcome."""

    id: int
    event: str
    address: str
    case_number: int
    problem_number: int | None
    state: str
    reason: str
    created_at: datetime
    due_at: datetime
    attempts: int
    repeats: int
    sent_at: datetime | None
    outcome: str


class MailList(BaseModel):
    """Mails, newest first."""

    notifications: list[MailOut]


@router.get("/cases/{number}/clocks", responses=_NOT_FOUND)
async def clocks(console: Here, number: int) -> ClockList:
    """Return the clocks of a case's service level."""
    async with console.database.read() as session:
        if await session.get(SupportCase, number) is None:
            raise HTTPException(404, f"There is no case {number}.")
        rows = await service_queries.clocks(session, number)
    return ClockList(clocks=[ClockOut.model_validate(row) for row in rows])


@router.get("/notifications")
async def notifications(console: Here, limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100) -> MailList:
    """Return the newest mails with their outcome."""
    async with console.database.read() as session:
        rows = await service_queries.mails(session, limit)
    return MailList(notifications=[MailOut.model_validate(row) for row in rows])


@router.post("/cases/{number}/contact", responses=_NOT_FOUND | {409: {"description": "refused"}})
async def contact(console: Here, visitor: ApiVisitor, number: int, body: ContactIn) -> CaseDetail:
    """Say that the customer has been told; the customer clock begins."""
    return await changed(console, number, changes.contact(console, number, visitor.name, body.note))
