"""Pages for admins: people, and the API tokens of all of them.

What flows in: requests of admins. What flows out: pages; a one-time password is on the page that answers its making,
and nowhere else.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Path, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.accounts import Role, people, sessions, tokens
from cloud.cases.cases import Refused
from cloud.store import audit
from cloud.web.auth import page_visitor
from cloud.web.pages import MOST_ROWS, InPage, PageContext

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
Name = Annotated[str, Path(max_length=64)]
ROLE_WORDS = {
    Role.VIEWER: "reads",
    Role.AGENT: "works on cases",
    Role.SUPERVISOR: "also silences, announces, edits knowledge, decides on sensitivity, reads the audit log",
    Role.ADMIN: "also looks after people and tokens",
}


@router.get("/people")
async def people_list(context: InPage) -> Response:
    """Who may log in, and as what?"""
    return await _page(context)


@router.post("/people")
async def add(
    context: InPage, role: Annotated[Role, Form()], name: Annotated[str, Form(max_length=64)] = ""
) -> Response:
    """Add somebody, with a one-time password."""
    return await _with_password(
        context, name.strip(), lambda session: people.add_person(session, name, role, context.console.now())
    )


@router.post("/people/{name}/password")
async def reset_password(context: InPage, name: Name) -> Response:
    """Give somebody who has lost their password a one-time password."""
    return await _with_password(
        context, name, lambda session: people.reset_password(session, name, context.console.now())
    )


@router.post("/people/{name}/role")
async def set_role(context: InPage, name: Name, role: Annotated[Role, Form()]) -> Response:
    """Give somebody another role."""
    return await _changed(context, lambda session: people.set_role(session, name, role))


@router.post("/people/{name}/disable")
async def disable(context: InPage, name: Name) -> Response:
    """Lock somebody out, now."""
    who, now = context.visitor.name, context.console.now()
    return await _changed(context, lambda session: people.disable(session, name, who, now))


@router.post("/people/{name}/enable")
async def enable(context: InPage, name: Name) -> Response:
    """Let somebody log in again."""
    return await _changed(context, lambda session: people.enable(session, name))


@router.post("/people/{name}/sessions/end")
async def end_sessions(context: InPage, name: Name) -> Response:
    """Log somebody out everywhere."""

    async def change(session: AsyncSession) -> None:
        await people.account_row(session, name)
        ended = await sessions.end_sessions(session, name)
        audit.record(session, f"account {name}", {"sessions": ended}, {"sessions": 0})

    return await _changed(context, change)


@router.get("/tokens")
async def token_list(context: InPage) -> Response:
    """Which programs act for whom?"""
    return await _tokens_page(context)


@router.post("/tokens/{number}/revoke")
async def revoke(context: InPage, number: int) -> Response:
    """End anybody's token."""
    try:
        async with context.console.database.begin() as session:
            who, now = context.visitor.name, context.console.now()
            await tokens.revoke_token(session, number, who, now, of_anybody=True)
    except (LookupError, OverflowError):
        raise HTTPException(404, f"There is no token {number}.") from None
    except Refused as refusal:
        return await _tokens_page(context, str(refusal))
    return RedirectResponse("/tokens", 303)


async def _tokens_page(context: PageContext, refused: str = "") -> Response:
    async with context.console.database.read() as session:
        rows = await tokens.tokens_of(session, None, MOST_ROWS)
    return context.page("tokens.html", 409 if refused else 200, active="people", tokens=rows, refused=refused)


async def _with_password(context: PageContext, name: str, change: Callable[[AsyncSession], Awaitable[str]]) -> Response:
    try:
        async with context.console.database.begin() as session:
            password = await change(session)
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
    except Refused as refusal:
        return await _page(context, refused=str(refusal), name=name)
    return await _page(context, password=password, name=name)


async def _changed(context: PageContext, change: Callable[[AsyncSession], Awaitable[None]]) -> Response:
    try:
        async with context.console.database.begin() as session:
            await change(session)
    except LookupError as error:
        raise HTTPException(404, str(error)) from None
    except Refused as refusal:
        return await _page(context, refused=str(refusal))
    return RedirectResponse("/people", 303)


async def _page(context: PageContext, *, refused: str = "", password: str = "", name: str = "") -> Response:
    async with context.console.database.read() as session:
        lines = await people.people(session, context.console.now())
    return context.page(
        "people.html", 409 if refused else 200, active="people", lines=lines, roles=ROLE_WORDS, refused=refused,
        password=password, name=name, days=people.ONE_TIME_LASTS.days,
        local_login=context.console.settings.oidc.local_login,
    )  # fmt: skip
