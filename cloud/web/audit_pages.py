"""The audit log, as a page and in the API: who changed what, when, from where, with before and after.

What flows in: a filter. What flows out: entries, the newest first, with the number to go on from.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict

from cloud.store.audit_queries import AuditFilter, audit_entries
from cloud.web.api import MOST_ROWS, Here
from cloud.web.auth import api_visitor, page_visitor
from cloud.web.pages import InPage

PAGE_ROWS = 100
_ID_MAX = 2**63 - 1
router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
api = APIRouter(prefix="/api/v1", dependencies=[Depends(api_visitor)])
Text = Annotated[str, Query(max_length=280)]
Before = Annotated[int | None, Query(ge=1, le=_ID_MAX)]


@router.get("/audit")
async def audit(
    context: InPage,
    actor: Text = "",
    subject: Text = "",
    what: Text = "",
    day: Annotated[str, Query(max_length=10)] = "",
    before: Before = None,
) -> Response:
    """Who changed what?"""
    since, wrong = _day(day)
    given = {"actor": actor.strip(), "subject": subject.strip(), "what": what.strip()}
    wanted = AuditFilter(**given, since=since, until=since + timedelta(days=1) if since else None, before=before)
    async with context.console.database.read() as session:
        rows = await audit_entries(session, wanted, PAGE_ROWS + 1)
    shown = rows[:PAGE_ROWS]
    older = urlencode({**given, "day": day, "before": shown[-1].id}) if len(rows) > PAGE_ROWS else ""
    return context.page(
        "audit.html", 400 if wrong else 200, active="audit",
        entries=[(row, differences(row.before, row.after)) for row in shown],
        given=given | {"day": day}, older=older, wrong=wrong, is_filtered=any((*given.values(), day)),
    )  # fmt: skip


def _day(text: str) -> tuple[datetime | None, str]:
    """Return the beginning of a day in UTC, and what is wrong with the text."""
    if not text:
        return None, ""
    try:
        return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC)), ""
    except ValueError:
        return None, f"Day: “{text}” is no date. Write for instance 2026-10-25."


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what an entry changed, as name, before and after in words."""
    names = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    return [(name.replace("_", " "), _words(before.get(name)), _words(after.get(name))) for name in names]


def _words(value: Any) -> str:
    if value in (None, "", [], {}):
        return ""
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


class AuditEntryOut(BaseModel):
    """One change of one thing by one person or their program."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    actor: str
    source: str
    what: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]


class AuditList(BaseModel):
    """Entries, the newest first. `next_before` is the `before` of the following page; null on the last one."""

    entries: list[AuditEntryOut]
    next_before: int | None


@api.get("/audit")
async def audit_list(  # noqa: PLR0913  the fields of the filter
    console: Here,
    actor: Text = "",
    subject: Text = "",
    what: Text = "",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 100,
) -> AuditList:
    """List changes by people, the newest first. `subject` is "case 7", or "case" for all cases."""
    wanted = AuditFilter(actor=actor, subject=subject, what=what, since=since, until=until, before=before)
    async with console.database.read() as session:
        rows = await audit_entries(session, wanted, limit + 1)
    entries = [AuditEntryOut.model_validate(row) for row in rows[:limit]]
    return AuditList(entries=entries, next_before=entries[-1].id if len(rows) > limit else None)
