"""Who is asking: the login cookie or HTTP Basic, and whether a change really comes from our own pages.

What flows in: a request. What flows out: a Visitor, or an error that becomes a login page (pages) or 401 (API).
"""

import base64
import hmac
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request

from cloud import accounts
from cloud.accounts import AGENT
from cloud.store.tables import Account
from cloud.web.context import Console, console_of

COOKIE = "forewarn_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who is logged in, and the token that their forms must carry."""

    name: str
    form_token: str
    role: str = AGENT


class LoginNeeded(Exception):  # noqa: N818  it is an answer, not an error
    """A page was asked for by nobody in particular."""


def same_origin(request: Request) -> bool:
    """Say whether the browser names this very host as the source; a request without the header does not count.

    Only the host is compared: behind a proxy that ends TLS, the scheme that we see is not the browser's.
    """
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host", "")


async def by_cookie(request: Request, console: Console) -> Visitor | None:
    """Return who the login cookie belongs to."""
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    async with console.database.read() as session:
        account = await accounts.session_account(session, token, console.now())
    return Visitor(name=account.name, form_token=accounts.form_token(token), role=account.role) if account else None


async def page_visitor(request: Request, console: Annotated[Console, Depends(console_of)]) -> Visitor:
    """Guard of the pages: a login, and for changes our own origin and form token."""
    visitor = await by_cookie(request, console)
    if visitor is None:
        raise LoginNeeded
    if request.method not in SAFE_METHODS:
        form = await request.form()
        token = str(form.get("form_token", ""))
        if not same_origin(request) or not hmac.compare_digest(token.encode(), visitor.form_token.encode()):
            raise HTTPException(403, "This form is out of date. Go back, load the page again and repeat it.")
    return visitor


async def api_visitor(request: Request, console: Annotated[Console, Depends(console_of)]) -> Visitor:
    """Guard of the API: HTTP Basic, or the login cookie (for changes only from our own origin)."""
    if "authorization" in request.headers:
        return await _by_basic(request, console)
    visitor = await by_cookie(request, console)
    if visitor is None:
        raise HTTPException(401, "Log in, or send HTTP Basic.", {"WWW-Authenticate": 'Basic realm="Forewarn"'})
    if request.method not in SAFE_METHODS and not same_origin(request):
        raise HTTPException(403, "A change with a login cookie must come from the console's own pages.")
    return visitor


async def _by_basic(request: Request, console: Console) -> Visitor:
    name, password = _read_basic(request.headers["authorization"])
    address = request.client.host if request.client else ""
    now = console.now()
    if (wait := console.throttle.wait_s(name, address, now)) > 0:
        raise HTTPException(429, too_many(wait), {"Retry-After": str(int(wait) + 1)})
    async with console.database.read() as session:
        account = await session.get(Account, name)
    if account and console.recent.knows(account, password, now):
        return Visitor(name=account.name, form_token="", role=account.role)
    console.throttle.failed(name, address, now)  # until it is proved right: guesses at the same time count too
    if not await accounts.fits(account, password) or account is None:
        raise HTTPException(401, "Name or password is wrong.", {"WWW-Authenticate": 'Basic realm="Forewarn"'})
    console.throttle.succeeded(name, address)
    console.recent.add(account, password, now)
    return Visitor(name=account.name, form_token="", role=account.role)


def _read_basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise HTTPException(401, "The Authorization header must be HTTP Basic with name and password.")
    return name, password


def too_many(wait_s: float) -> str:
    """Return what somebody is told who has guessed too often."""
    return f"Too many wrong passwords. Wait {int(wait_s) + 1} s, then try again."


PageVisitor = Annotated[Visitor, Depends(page_visitor)]
ApiVisitor = Annotated[Visitor, Depends(api_visitor)]
