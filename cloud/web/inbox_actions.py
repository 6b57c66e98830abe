"""Changes made in the inbox: of all selected cases at once, undo, and saved views.

What flows in: forms. What flows out: the inbox with a toast, or with the sentence why nothing was changed.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, HTTPException, Path, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService, bulk
from cloud.cases.cases import Refused
from cloud.cases.outcomes import Cause, Label, Outcome
from cloud.store import saved_views
from cloud.web import changes
from cloud.web.auth import page_visitor
from cloud.web.case_actions import read_span
from cloud.web.filters import read_filter
from cloud.web.inbox_pages import inbox_page
from cloud.web.pages import InPage, PageContext, back_to, case_page

MAX_NUMBER = (1 << 53) - 1
Number = Annotated[int, Field(ge=1, le=MAX_NUMBER)]
Text = Annotated[str, StringConstraints(max_length=4000)]
router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)


class BulkForm(BaseModel):
    """What is done with the selected cases. Only the fields of the action are read."""

    do: Literal["take", "assign", "snooze", "close", "merge"]
    case: list[Number] = []
    to: Annotated[str, StringConstraints(max_length=64)] = ""
    snooze_for: Annotated[str, StringConstraints(max_length=8)] = ""
    label: Label | None = None
    cause: Cause = Cause.UNKNOWN
    note: Text = ""
    back: Annotated[str, StringConstraints(max_length=500)] = ""


@dataclass(frozen=True, slots=True)
class _Order:
    """A bulk change as it is carried out: by whom, when, and on what."""

    form: BulkForm
    service: CaseService
    session: AsyncSession
    actor: str
    now: datetime

    async def take(self, number: int) -> None:
        await self.service.staff.take(self.session, number, self.actor, self.now)

    async def assign(self, number: int) -> None:
        await self.service.staff.assign(self.session, number, self.actor, self.form.to, self.now)

    async def snooze(self, number: int) -> None:
        until = self.now + read_span(self.form.snooze_for)
        await self.service.staff.snooze(self.session, number, self.actor, until, self.form.note, self.now)

    async def close(self, number: int) -> None:
        if self.form.label is None:
            raise Refused("Choose the outcome: without a label nothing is closed.")
        outcome = Outcome(label=self.form.label, cause=self.form.cause, note=self.form.note.strip())
        await self.service.staff.close(self.session, number, self.actor, outcome, self.now)

    async def merge(self, number: int) -> None:
        target = min(self.form.case)
        if number != target:
            await self.service.staff.merge(self.session, number, target, self.actor, self.now)

    def action(self) -> Callable[[int], Awaitable[None]]:
        """Return what is done with each case."""
        actions: Mapping[str, Callable[[int], Awaitable[None]]] = {
            "take": self.take,
            "assign": self.assign,
            "snooze": self.snooze,
            "close": self.close,
            "merge": self.merge,
        }
        return actions[self.form.do]


@router.post("/cases/bulk")
async def change_many(context: InPage, form: Annotated[BulkForm, Form()]) -> Response:
    """Change all selected cases, or none."""
    console, name = context.console, context.visitor.name
    numbers = sorted(set(form.case))

    async def change(session: AsyncSession, now: datetime) -> None:
        if form.do == "merge" and len(numbers) < 2:
            raise Refused("Select two or more cases of one device to merge them.")
        order = _Order(form, console.case_service, session, name, now)
        await bulk.for_all(numbers, order.action())

    try:
        token = await changes.commit_undoable(console, form.do, numbers, change, name)
    except (Refused, LookupError) as refusal:
        return await inbox_page(context, form.back.removeprefix("inbox:"), refused=_sentence(refusal))
    return RedirectResponse(back_to("inbox:" + form.back.removeprefix("inbox:"), numbers[0], _done(form, token)), 303)


def _done(form: BulkForm, token: str) -> dict[str, str | int]:
    count = len(set(form.case)) - (form.do == "merge")
    found: dict[str, str | int] = {"done": form.do}
    if count > 1:
        found["count"] = count
    if form.label and form.do == "close":
        found["label"] = form.label
    return found | ({"undo": token} if token else {})


def _sentence(error: Exception) -> str:
    return str(error.args[0]) if error.args else str(error)


@router.post("/undo")
async def undo(
    context: InPage,
    token: Annotated[str, Form(max_length=40)],
    back: Annotated[str, Form(max_length=500)] = "",
    case: Annotated[int, Form(ge=0, le=MAX_NUMBER)] = 0,
) -> Response:
    """Take back what I have just done."""
    try:
        numbers = await changes.undo_change(context.console, token, context.visitor.name)
    except (Refused, LookupError) as refusal:
        return await _refused(context, back, case, _sentence(refusal))
    done: dict[str, str | int] = {"done": "undo"} | ({"count": len(numbers)} if len(numbers) > 1 else {})
    return RedirectResponse(back_to(back, numbers[0], done), 303)


async def _refused(context: PageContext, back: str, case: int, sentence: str) -> Response:
    if back.startswith("inbox:") or not case:
        return await inbox_page(context, back.removeprefix("inbox:"), refused=sentence)
    return await case_page(context, case, refused=sentence)


@router.post("/views")
async def save_view(
    context: InPage,
    q: Annotated[str, Form(max_length=400)],
    name: Annotated[str, Form(max_length=200)] = "",
    shared: Annotated[bool, Form()] = False,
) -> Response:
    """Keep a filter under a name."""
    try:
        read_filter(q, context.visitor.name)
        async with context.console.database.begin() as session:
            await saved_views.save(
                session, context.visitor.name, name, q.strip(), shared=shared, now=context.console.now()
            )
    except ValueError as refusal:
        return await inbox_page(context, q, refused=f"The view was not saved. {refusal}")
    return RedirectResponse(back_to(f"inbox:{q}", 0, {"done": "view"}), 303)


@router.post("/views/{view_id}/delete")
async def delete_view(
    context: InPage, view_id: Annotated[int, Path(ge=1, le=MAX_NUMBER)], back: Annotated[str, Form(max_length=500)] = ""
) -> Response:
    """Delete a view of mine."""
    try:
        async with context.console.database.begin() as session:
            await saved_views.delete(session, context.visitor.name, view_id)
    except LookupError as error:
        raise HTTPException(404, _sentence(error)) from None
    except Refused as refusal:
        return await inbox_page(context, back.removeprefix("inbox:"), refused=str(refusal))
    return RedirectResponse(back_to("inbox:" + back.removeprefix("inbox:"), 0, {"done": "view_gone"}), 303)
