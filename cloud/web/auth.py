"""Who is asking, whether they may, and whether a change really comes from our own pages.

What flows in: a request with the login cookie, HTTP Basic or an API token. What flows out: a Visitor, or an error that
becomes a login page (pages) or 401 and 403 (API). From then on all that the request changes is the visitor's.
"""

import base64
import hmac
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request

from cloud import accounts
from cloud.accounts import PERMISSIONS, Permission, Role, sessions, tokens
from cloud.store import audit
from cloud.store.audit import Actor, act_as
from cloud.store.tables import Account
from cloud.web import permissions
from cloud.web.context import Console, console_of

COOKIE = "forewarn_session"
REFRESH = "forewarn-refresh"  # header of a page that fetches itself again: nobody need be there
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CHALLENGE = {"WWW-Authenticate": 'Basic realm="Forewarn", Bearer realm="Forewarn"'}
_MAY_BEFORE_CHANGE = frozenset({"GET /account", "POST /account/password", "POST /logout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who is logged in, how, and the token that their forms must carry."""

    name: str
    form_token: str
    role: Role = Role.AGENT
    scopes: frozenset[Permission] | None = None  # of a token; None: all that the role may
    source: str = ""

    def may(self, permission: str) -> bool:
        """Say whether the role has a permission: what it has not is not offered on a page."""
        return Permission(permission) in PERMISSIONS[self.role]


class LoginNeeded(Exception):  # noqa: N818  it is an answer, not an error
    """A page was asked for by nobody in particular."""


class PasswordChangeNeeded(Exception):  # noqa: N818  it is an answer, not an error
    """Somebody has logged in with a one-time password, and must choose another one first."""


def same_origin(request: Request) -> bool:
    """Say whether the browser names this very host as the source; a request without the header does not count.

    Only the host is compared: behind a proxy that ends TLS, the scheme that we see is not the browser's.
    """
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host", "")


def address_of(request: Request) -> str:
    """Return where a request comes from; behind a trusted proxy, where the proxy says that it comes from."""
    return request.client.host if request.client else ""


async def by_cookie(request: Request, console: Console, *, is_use: bool = True) -> Account | None:
    """Return who the login cookie belongs to; the use of the session is written down, unless it is none."""
    token = request.cookies.get(COOKIE)
    if not token:
        return None
    now = console.now()
    async with console.database.read() as session:
        found = await sessions.session_account(session, token, now, console.session_limits)
    if found and found.is_stale and is_use and REFRESH not in request.headers:
        async with console.database.begin() as session:
            await sessions.touch(session, token, now)
    return found.account if found else None


def _visitor(request: Request, account: Account) -> Visitor:
    source = f"console, {address_of(request)}"
    token = accounts.form_token(request.cookies[COOKIE])
    return Visitor(name=account.name, form_token=token, role=Role(account.role), source=source)


async def page_visitor(request: Request, console: Annotated[Console, Depends(console_of)]) -> Visitor:
    """Guard of the pages: a login, the role, and for changes our own origin and form token."""
    account = await by_cookie(request, console, is_use=request.url.path != "/live")
    if account is None:
        raise LoginNeeded
    operation = permissions.operation_of(request)
    if account.must_change and operation not in _MAY_BEFORE_CHANGE:
        raise PasswordChangeNeeded
    visitor = _visitor(request, account)
    if request.method not in SAFE_METHODS:
        form = await request.form()
        token = str(form.get("form_token", ""))
        if not same_origin(request) or not hmac.compare_digest(token.encode(), visitor.form_token.encode()):
            raise HTTPException(403, "This form is out of date. Go back, load the page again and repeat it.")
    return _admit(visitor, operation, console)


async def api_visitor(request: Request, console: Annotated[Console, Depends(console_of)]) -> Visitor:
    """Guard of the API: a token, HTTP Basic, or the login cookie (for changes only from our own origin)."""
    operation = permissions.operation_of(request)
    if "authorization" in request.headers:
        return _admit(await _by_header(request, console), operation, console)
    account = await by_cookie(request, console)
    if account is None:
        raise HTTPException(401, "Log in, or send a token or HTTP Basic.", CHALLENGE)
    _refuse_one_time(account)
    if request.method not in SAFE_METHODS and not same_origin(request):
        raise HTTPException(403, "A change with a login cookie must come from the console's own pages.")
    return _admit(_visitor(request, account), operation, console)


def _admit(visitor: Visitor, operation: str, console: Console) -> Visitor:
    """Check the permission; from here on, what the request changes is audited as this visitor's."""
    permissions.check(operation, visitor.role, visitor.scopes)
    act_as(Actor(name=visitor.name, source=visitor.source, what=permissions.what(operation), at=console.now()))
    return visitor


def _refuse_one_time(account: Account) -> None:
    if account.must_change:
        raise HTTPException(403, "This is a one-time password. Log in to the console and choose another one first.")


async def _by_header(request: Request, console: Console) -> Visitor:
    scheme, _, value = request.headers["authorization"].partition(" ")
    if scheme.lower() == "bearer":
        return await _by_token(request, console, value.strip())
    if not console.settings.oidc.local_login:
        raise HTTPException(401, "Passwords are switched off here. Send an API token.", CHALLENGE)
    return await _by_basic(request, console)


async def _by_token(request: Request, console: Console, secret: str) -> Visitor:
    address, now = address_of(request), console.now()
    _refuse_guesser("", address, console)
    async with console.database.read() as session:
        found = await tokens.token_account(session, secret, now)
    if found is None:
        console.throttle.failed("", address, now)
        await refused_login(console, request, "", "API token")
        raise HTTPException(401, "The token is unknown, over or revoked. Create another one.", CHALLENGE)
    token, account = found
    if tokens.is_stale(token, now):
        async with console.database.begin() as session:
            await tokens.touch_token(session, token.id, now)
    scopes = frozenset(map(Permission, token.scopes))
    source = f"token {token.id} ({token.name}), {address}"
    return Visitor(name=account.name, form_token="", role=Role(account.role), scopes=scopes, source=source)


async def _by_basic(request: Request, console: Console) -> Visitor:
    name, password = _read_basic(request.headers["authorization"])
    address, now = address_of(request), console.now()
    _refuse_guesser(name, address, console)
    async with console.database.read() as session:
        account = await session.get(Account, name)
    if account and not account.disabled_at and console.recent.knows(account, password, now):
        return _basic_visitor(account, address)
    console.throttle.failed(name, address, now)  # until it is proved right: guesses at the same time count too
    if not await accounts.fits(account, password) or account is None or account.disabled_at:
        await refused_login(console, request, account.name if account else "", "HTTP Basic")
        raise HTTPException(401, "Name or password is wrong.", CHALLENGE)
    console.throttle.succeeded(name, address)
    _refuse_one_time(account)
    console.recent.add(account, password, now)
    return _basic_visitor(account, address)


def _basic_visitor(account: Account, address: str) -> Visitor:
    return Visitor(name=account.name, form_token="", role=Role(account.role), source=f"password, {address}")


def _refuse_guesser(name: str, address: str, console: Console) -> None:
    if (wait := console.throttle.wait_s(name, address, console.now())) > 0:
        raise HTTPException(429, too_many(wait), {"Retry-After": str(int(wait) + 1)})


async def refused_login(console: Console, request: Request, name: str, how: str) -> None:
    """Write down a refused login. `name` is that of a known account: what else was typed may be a password."""
    actor = Actor(name=name, source=f"{how}, {address_of(request)}", what="login refused", at=console.now())
    async with console.database.begin(actor) as session:
        audit.record(session, f"account {name}" if name else "unknown account")


def _read_basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise HTTPException(
            401, "The Authorization header must be Bearer with a token, or Basic with name and password."
        )
    return name, password


def too_many(wait_s: float) -> str:
    """Return what somebody is told who has guessed too often."""
    return f"Too many wrong passwords. Wait {int(wait_s) + 1} s, then try again."


PageVisitor = Annotated[Visitor, Depends(page_visitor)]
ApiVisitor = Annotated[Visitor, Depends(api_visitor)]
