"""Pages of mails, and the action that begins the customer clock."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Response

from cloud.store import queries, service_queries
from cloud.web import changes, service_views
from cloud.web.auth import page_visitor
from cloud.web.pages import MOST_ROWS, InPage, changed

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


@router.post("/cases/{number}/contact")
async def contact(context: InPage, number: int, note: Annotated[str, Form(max_length=4000)] = "") -> Response:
    """Say that I have told the customer."""
    change = changes.contact(context.console, number, context.visitor.name, note)
    return await changed(context, number, change, {"done": "contact"}, "")


@router.get("/mails")
async def mails(context: InPage) -> Response:
    """Who was told, and did it arrive?"""
    async with context.console.database.read() as session:
        rows = await service_queries.mails(session, MOST_ROWS)
        feed = await queries.last_entry_id(session)
    return context.page("mails.html", active="mails", lines=service_views.mail_views(rows), feed=feed)
