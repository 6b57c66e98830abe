"""Logging in and out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from cloud import accounts
from cloud.store.tables import Account
from cloud.web.auth import COOKIE, page_visitor, same_origin, too_many
from cloud.web.context import Console, console_of
from cloud.web.render import page

router = APIRouter(include_in_schema=False)
Here = Annotated[Console, Depends(console_of)]


@router.get("/login")
async def login_form(request: Request, next: str = "/") -> Response:  # noqa: A002  the address says it so
    """Ask for name and password."""
    return page(request, "login.html", next=_local(next), name="", wrong="")


@router.post("/login")
async def login(
    request: Request,
    console: Here,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=1000)],
    next: Annotated[str, Form()] = "/",  # noqa: A002  the form says it so
) -> Response:
    """Check name and password; slow guessers down."""
    if "origin" in request.headers and not same_origin(request):
        raise HTTPException(403, "This login came from another site.")
    now = console.now()
    address = request.client.host if request.client else ""
    if (wait := console.throttle.wait_s(name, address, now)) > 0:
        return page(request, "login.html", 429, next=_local(next), name=name, wrong=too_many(wait))
    console.throttle.failed(name, address, now)  # until it is proved right: guesses at the same time count too
    async with console.database.read() as session:
        account = await session.get(Account, name)
    if not await accounts.fits(account, password) or account is None:
        return page(request, "login.html", 401, next=_local(next), name=name, wrong="Name or password is wrong.")
    console.throttle.succeeded(name, address)
    async with console.database.begin() as session:
        token = await accounts.open_session(session, account.name, now)
    response = RedirectResponse(_local(next), 303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(accounts.SESSION_LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout", dependencies=[Depends(page_visitor)])
async def logout(request: Request, console: Here) -> Response:
    """End this login."""
    async with console.database.begin() as session:
        await accounts.end_session(session, request.cookies[COOKIE])
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def _local(target: str) -> str:
    """Return where to go after the login, if that is a page of ours: never another host."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"
