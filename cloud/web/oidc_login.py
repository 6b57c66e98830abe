"""Single sign-on with any OpenID provider: authorization code with PKCE, by Authlib.

Authlib reads the provider's discovery document, keeps state, nonce and code verifier in a signed cookie of ten minutes,
and verifies the signature, issuer, audience, nonce and times of the id_token. What flows out: an account and a session.
"""

import logging
from collections.abc import Mapping
from typing import Annotated, Any

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth, StarletteOAuth2App
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from joserfc.errors import JoseError

from cloud.accounts.roles import Role
from cloud.accounts.single_sign_on import Identity, account_of
from cloud.cases.cases import Refused
from cloud.console_settings import OidcTable
from cloud.store.audit import Actor
from cloud.web.auth import address_of, refused_login
from cloud.web.context import Console, console_of
from cloud.web.login import local, logged_in
from cloud.web.render import page

STATE_COOKIE = "forewarn_oidc"
STATE_LASTS_S = 600  # for a person to log in at the provider
TIMEOUT_S = 10.0
_NEXT = "next"

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)
Here = Annotated[Console, Depends(console_of)]


def provider(table: OidcTable, client_secret: str) -> StarletteOAuth2App:
    """Return the client of a provider; its discovery document is read at the first login."""
    client: StarletteOAuth2App = OAuth().register(
        "provider",
        client_id=table.client_id,
        client_secret=client_secret,
        server_metadata_url=f"{table.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": table.scopes, "code_challenge_method": "S256", "timeout": TIMEOUT_S},
    )
    return client


def _provider_of(request: Request) -> StarletteOAuth2App:
    client: StarletteOAuth2App | None = request.app.state.oidc
    if client is None:
        raise HTTPException(404, "Single sign-on is not configured.")
    return client


@router.get("/login/oidc")
async def start(request: Request, console: Here, next: str = "/") -> Response:  # noqa: A002  the address says it so
    """Send somebody to the provider."""
    client = _provider_of(request)
    try:
        metadata = await client.load_server_metadata()
        if metadata.get("issuer") != console.settings.oidc.issuer:
            raise OAuthError("issuer", f"the provider calls itself {metadata.get('issuer')!r}")
        answer: Response = await client.authorize_redirect(request, request.url_for("callback"))
    except (httpx2.HTTPError, OAuthError, ValueError, RuntimeError) as error:
        return await _failed(request, console, error)
    request.session[_NEXT] = local(next)
    return answer


@router.get("/login/oidc/callback")
async def callback(request: Request, console: Here) -> Response:
    """Log in who the provider sends back."""
    client, table = _provider_of(request), console.settings.oidc
    target = str(request.session.pop(_NEXT, "/"))
    try:
        token = await client.authorize_access_token(request)
    except (httpx2.HTTPError, OAuthError, JoseError, ValueError, KeyError, RuntimeError) as error:
        return await _failed(request, console, error)
    try:
        identity = _identity(table, token.get("userinfo") or {})
        actor = Actor(
            name=identity.name[:64], source=f"single sign-on, {address_of(request)}", what="login", at=console.now()
        )
        async with console.database.begin(actor) as session:
            account = await account_of(session, identity, console.now())
    except Refused as refusal:
        await refused_login(console, request, "", "single sign-on")
        return page(request, "error.html", 403, title="Login refused", text=str(refusal))
    return await logged_in(request, console, account, target, "single sign-on")


def _identity(table: OidcTable, claims: Mapping[str, Any]) -> Identity:
    """Read who it is and which role they have. Raises Refused."""
    subject, name = claims.get("sub"), claims.get(table.name_claim)
    if not isinstance(subject, str) or not isinstance(name, str) or len(subject) > 255:
        raise Refused(f"The provider gave no “{table.name_claim}” for you. Ask an admin to set web.oidc.name_claim.")
    given = claims.get(table.role_claim, [])
    values = {str(value) for value in (given if isinstance(given, list) else [given])}
    roles = [Role(role) for value, role in table.roles.items() if value in values]
    if not roles and not table.default_role:
        raise Refused(f"No value of “{table.role_claim}” gives you a role here. Ask an admin.")
    order = list(Role)
    role = max(roles, key=order.index) if roles else Role(table.default_role)
    return Identity(issuer=table.issuer, subject=subject, name=name, role=role)


async def _failed(request: Request, console: Console, error: Exception) -> Response:
    """Tell the person that it failed, and the log why."""
    log.warning("single sign-on failed: %s: %s", type(error).__name__, error)
    await refused_login(console, request, "", "single sign-on")
    text = "Single sign-on failed. Try again; if it fails again, the log of Forewarn says why."
    return page(request, "error.html", 502, title="Login failed", text=text)
