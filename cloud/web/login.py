"""Logging in and out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from cloud import accounts
from cloud.store import audit
from cloud.store.audit import Actor
from cloud.store.tables import Account
from cloud.web.auth import COOKIE, address_of, page_visitor, refused_login, same_origin, too_many
from cloud.web.context import Console, console_of
from cloud.web.render import page

router = APIRouter(include_in_schema=False)
Here = Annotated[Console, Depends(console_of)]
WRONG = "Name or password is wrong."


@router.get("/login")
async def login_form(request: Request, console: Here, next: str = "/") -> Response:  # noqa: A002  the address says it so
    """Ask for name and password, or offer single sign-on."""
    return _page(request, console, next)


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
    if not console.settings.oidc.local_login:
        raise HTTPException(403, "Passwords are switched off here. Log in with single sign-on.")
    now, address = console.now(), address_of(request)
    if (wait := console.throttle.wait_s(name, address, now)) > 0:
        return _page(request, console, next, 429, name=name, wrong=too_many(wait))
    console.throttle.failed(name, address, now)  # until it is proved right: guesses at the same time count too
    async with console.database.read() as session:
        account = await session.get(Account, name)
    fits = await accounts.fits(account, password)
    if account is None or not fits or (wrong := _unusable(account, console)):
        await refused_login(console, request, account.name if account else "", "console")
        return _page(request, console, next, 401, name=name, wrong=wrong if account and fits else WRONG)
    console.throttle.succeeded(name, address)
    return await logged_in(request, console, account, next, "console")


def _unusable(account: Account, console: Console) -> str:
    """Say why a right password does not help; only who knows it is told."""
    if account.disabled_at:
        return "This account is disabled. Ask an admin."
    if account.password_expires_at and account.password_expires_at <= console.now():
        return "This one-time password is too old. Ask an admin for another one."
    return ""


async def logged_in(request: Request, console: Console, account: Account, target: str, how: str) -> Response:
    """Open a session for somebody who has proved to be themselves, and go on to the page that they wanted."""
    now, address, limits = console.now(), address_of(request), console.session_limits
    actor = Actor(name=account.name, source=f"{how}, {address}", what="login", at=now)
    async with console.database.begin(actor) as session:
        token = await accounts.open_session(session, account.name, now, limits, address)
        row = await session.get_one(Account, account.name)
        row.last_login_at = now
        audit.record(session, f"account {account.name}")
    response = RedirectResponse("/account" if account.must_change else local(target), 303)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(limits.whole.total_seconds()),
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
        audit.record(session, "own session")
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def _page(
    request: Request, console: Console, target: str, status: int = 200, *, name: str = "", wrong: str = ""
) -> Response:
    return page(request, "login.html", status, next=local(target), name=name, wrong=wrong, oidc=console.settings.oidc)


def local(target: str) -> str:
    """Return where to go after the login, if that is a page of ours: never another host."""
    is_ours = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if is_ours else "/"
