"""The page of one's own account: password, sessions and API tokens.

What flows in: requests of whoever is logged in. What flows out: pages; a token's secret is on the page that answers its
creation, and nowhere else.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud import accounts
from cloud.accounts import PERMISSIONS, SCOPES, Permission, people, sessions, tokens
from cloud.cases.cases import Refused
from cloud.store import audit
from cloud.store.tables import Account, LoginSession
from cloud.web.auth import COOKIE, address_of, page_visitor, refused_login, too_many
from cloud.web.pages import MOST_ROWS, InPage, PageContext

router = APIRouter(dependencies=[Depends(page_visitor)], include_in_schema=False)
Password = Annotated[str, Form(max_length=1000)]
SCOPE_WORDS = {
    Permission.READ: "read everything that viewers see",
    Permission.CASES: "work on cases",
    Permission.SUPERVISE: "silences, announcements, knowledge, sensitivity, audit log",
    Permission.ADMIN: "people and tokens of others",
}


@router.get("/account")
async def account(context: InPage) -> Response:
    """Who am I here, where am I logged in, and which programs act for me?"""
    return await _page(context)


@router.post("/account/password")
async def change_password(request: Request, context: InPage, old: Password, new: Password, again: Password) -> Response:
    """Choose another password."""
    console, name = context.console, context.visitor.name
    address, now = address_of(request), console.now()
    if (wait := console.throttle.wait_s(name, address, now)) > 0:
        return await _page(context, refused=too_many(wait))
    console.throttle.failed(name, address, now)
    async with console.database.read() as session:
        row = await session.get(Account, name)
    if not await accounts.fits(row, old):
        await refused_login(console, request, name, "change of password")
        return await _page(context, refused="The present password is wrong.")
    console.throttle.succeeded(name, address)
    if new != again or new == old:
        wrong = "The two new passwords differ." if new != again else "The new password is the present one."
        return await _page(context, refused=f"{wrong} Enter them again.")
    try:
        async with console.database.begin() as session:
            await people.change_password(session, name, new, keep=request.cookies[COOKIE])
    except Refused as refusal:
        return await _page(context, refused=str(refusal))
    return RedirectResponse("/account?done=password", 303)


@router.post("/account/sessions/end")
async def end_sessions(request: Request, context: InPage) -> Response:
    """Log out everywhere else."""
    async with context.console.database.begin() as session:
        ended = await sessions.end_sessions(session, context.visitor.name, but=request.cookies[COOKIE])
        audit.record(session, f"account {context.visitor.name}", {"sessions": ended + 1}, {"sessions": 1})
    return RedirectResponse("/account?done=sessions", 303)


@router.post("/account/tokens")
async def create_token(
    context: InPage,
    name: Annotated[str, Form(max_length=100)] = "",
    days: Annotated[int, Form()] = 90,
    scopes: Annotated[list[Permission] | None, Form()] = None,
) -> Response:
    """Make an API token and show its secret, this once."""
    wanted = tokens.NewToken(name=name, scopes=frozenset(scopes or ()), days=days)
    try:
        async with context.console.database.begin() as session:
            row = await session.get_one(Account, context.visitor.name)
            _, secret = await tokens.create_token(session, row, wanted, context.console.now())
    except Refused as refusal:
        return await _page(context, refused=str(refusal))
    return await _page(context, secret=secret)


@router.post("/account/tokens/{number}/revoke")
async def revoke_token(context: InPage, number: int) -> Response:
    """End a token of mine."""
    try:
        async with context.console.database.begin() as session:
            await tokens.revoke_token(session, number, context.visitor.name, context.console.now())
    except (LookupError, OverflowError):
        raise HTTPException(404, f"You have no token {number}.") from None
    except Refused as refusal:
        return await _page(context, refused=str(refusal))
    return RedirectResponse("/account?done=revoked", 303)


_DONE = {
    "password": "The password is changed. You are logged out everywhere else.",
    "sessions": "You are logged out everywhere else.",
    "revoked": "The token is revoked.",
}


async def _page(context: PageContext, *, refused: str = "", secret: str = "") -> Response:
    name, now = context.visitor.name, context.console.now()
    async with context.console.database.read() as session:
        row = await session.get_one(Account, name)
        mine = await tokens.tokens_of(session, [name], MOST_ROWS)
        logins = await _logins(session, name, now, now - context.console.settings.idle)
    return context.page(
        "account.html", 409 if refused else 200, active="account", account=row, tokens=mine, logins=logins,
        refused=refused, secret=secret, done=_DONE.get(context.request.query_params.get("done", ""), ""),
        scopes=[(scope, SCOPE_WORDS[scope]) for scope in SCOPES if scope in PERMISSIONS[context.visitor.role]],
    )  # fmt: skip


async def _logins(session: AsyncSession, name: str, now: datetime, used_since: datetime) -> list[LoginSession]:
    row = LoginSession
    query = select(row).where(row.account == name, row.expires_at > now, row.last_used_at > used_since)
    return list(await session.scalars(query.order_by(row.last_used_at.desc())))
