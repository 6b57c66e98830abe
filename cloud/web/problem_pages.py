"""Pages of problems."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Response
from fastapi.responses import RedirectResponse

from cloud.cases.cases import Refused
from cloud.store import queries, rule_queries
from cloud.web import changes
from cloud.web.auth import page_visitor
from cloud.web.pages import MOST_ROWS, CloseForm, InPage, PageContext

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
Text = Annotated[str, Form(max_length=4000)]


@router.get("/problems")
async def problems(context: InPage) -> Response:
    """Which causes stand behind many cases?"""
    async with context.console.database.read() as session:
        lines = await rule_queries.problems(session, MOST_ROWS)
        feed = await queries.last_entry_id(session)
    return context.page("problems.html", active="problems", lines=lines, feed=feed)


@router.get("/problems/{number}")
async def problem(context: InPage, number: int) -> Response:
    """Is this one cause?"""
    return await _problem_page(context, number)


@router.post("/problems/{number}/take")
async def take(context: InPage, number: int) -> Response:
    """Make the problem mine."""
    actions, who = context.console.case_service.problems, context.visitor.name
    return await _changed(context, number, lambda session, now: actions.take(session, number, who, now))


@router.post("/problems/{number}/announce")
async def announce(context: InPage, number: int, text: Text = "") -> Response:
    """Set the text that all its cases show."""
    actions, who = context.console.case_service.problems, context.visitor.name
    return await _changed(context, number, lambda session, now: actions.announce(session, number, who, text, now))


@router.post("/problems/{number}/note")
async def note(context: InPage, number: int, text: Text = "") -> Response:
    """Write into the problem's timeline."""
    actions, who = context.console.case_service.problems, context.visitor.name
    return await _changed(context, number, lambda session, now: actions.note(session, number, who, text, now))


@router.post("/problems/{number}/close")
async def close(context: InPage, number: int, form: Annotated[CloseForm, Form()]) -> Response:
    """Close the problem and all its cases."""
    actions, who = context.console.case_service.problems, context.visitor.name
    return await _changed(
        context, number, lambda session, now: actions.close(session, number, who, form.outcome(), now)
    )


async def _problem_page(context: PageContext, number: int, refused: str = "") -> Response:
    async with context.console.database.read() as session:
        file = await rule_queries.problem_file(session, number, MOST_ROWS)
        feed = await queries.last_entry_id(session)
    if file is None:
        raise HTTPException(404, f"There is no problem {number}.")
    return context.page(
        "problem.html", 409 if refused else 200, active="problems", file=file, feed=feed, refused=refused
    )


async def _changed(context: PageContext, number: int, change: changes.Change) -> Response:
    try:
        await changes.commit(context.console, change)
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
    except Refused as refusal:
        return await _problem_page(context, number, str(refusal))
    return RedirectResponse(f"/problems/{number}", 303)
