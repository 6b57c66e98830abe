"""Pages of silences and maintenance windows."""

from datetime import datetime, time
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service.rows import silence_of
from cloud.cases.cases import Refused
from cloud.cases.silences import WEEKDAYS, Silence, active_until, in_words
from cloud.store import queries, rule_queries
from cloud.web import changes
from cloud.web.auth import page_visitor
from cloud.web.case_actions import read_local
from cloud.web.pages import MOST_ROWS, InPage, PageContext

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


class SilenceForm(BaseModel):
    """What a person enters; times are local to `zone`."""

    reason: str = Field(default="", max_length=4000)
    zone: str = Field(default="", max_length=64)
    starts: str = Field(default="", max_length=40)
    ends: str = Field(default="", max_length=40)
    device: str = Field(default="", max_length=64)
    site: str = Field(default="", max_length=200)
    model: str = Field(default="", max_length=128)
    fault: str = Field(default="", max_length=200)
    weekdays: list[int] = []
    from_time: str = Field(default="", max_length=8)
    to_time: str = Field(default="", max_length=8)

    def read(self, owner: str, now: datetime) -> Silence:
        """Return the silence that was entered; without a start it starts now. Raises Refused."""
        return Silence(
            owner=owner,
            reason=self.reason.strip(),
            zone=self.zone.strip(),
            device=self.device.strip(),
            site=self.site.strip(),
            model=self.model.strip(),
            fault=self.fault.strip(),
            starts_at=read_local(self.starts, self.zone.strip(), is_end=False) if self.starts else now,
            ends_at=read_local(self.ends, self.zone.strip()),
            weekdays=tuple(sorted({day for day in self.weekdays if 0 <= day < len(WEEKDAYS)})),
            from_time=read_time(self.from_time),
            to_time=read_time(self.to_time),
        )


@router.get("/silences")
async def silences(context: InPage) -> Response:
    """What is held back, by whom, why, until when, and what was suppressed?"""
    return await _silences_page(context)


@router.post("/silences")
async def create(context: InPage, form: Annotated[SilenceForm, Form()]) -> Response:
    """Hold cases back."""
    service, who = context.console.case_service.silences, context.visitor.name

    async def change(session: AsyncSession, now: datetime) -> None:
        await service.create(session, form.read(who, now), now)

    return await _changed(context, change, form)


@router.post("/silences/{number}/end")
async def end(context: InPage, number: int) -> Response:
    """End a silence before its time."""
    service, who = context.console.case_service.silences, context.visitor.name
    return await _changed(context, lambda session, now: service.end(session, number, who, now), SilenceForm())


async def _silences_page(context: PageContext, refused: str = "", form: SilenceForm | None = None) -> Response:
    async with context.console.database.read() as session:
        lines = await rule_queries.silences(session, MOST_ROWS)
        feed = await queries.last_entry_id(session)
    now = context.console.now()
    return context.page(
        "silences.html",
        409 if refused else 200,
        active="silences",
        lines=[(line, in_words(silence_of(line.silence)), _state(line, now)) for line in lines],
        form=form or SilenceForm(zone="Europe/Berlin"),
        weekdays=WEEKDAYS,
        feed=feed,
        refused=refused,
    )


async def _changed(context: PageContext, change: changes.Change, form: SilenceForm) -> Response:
    try:
        await changes.commit(context.console, change)
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
    except Refused as refusal:
        return await _silences_page(context, str(refusal), form)
    return RedirectResponse("/silences", 303)


def _state(line: rule_queries.SilenceLine, now: datetime) -> str:
    silence = silence_of(line.silence)
    if silence.ended_at:
        return f"ended early by {silence.ended_by}"
    if silence.ends_at <= now:
        return "over"
    return "active" if active_until(silence, now) else "not active now"


def read_time(text: str) -> time | None:
    """Return a time of day; None for an empty text. Raises Refused."""
    try:
        return time.fromisoformat(text) if text else None
    except ValueError:
        raise Refused(f"“{text}” is no time of day. Write for instance 22:30.") from None
