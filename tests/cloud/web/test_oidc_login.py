"""Single sign-on against a provider that really signs, over real sockets; and against one that lies."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from joserfc.jwk import RSAKey
from sqlalchemy import select

from cloud.case_service import CaseService
from cloud.change_signal import ChangeSignal
from cloud.console_settings import OidcTable, WebTable
from cloud.store.database import Database
from cloud.store.people_tables import AuditEntry
from cloud.store.tables import Account
from cloud.web.app import create_app
from firmware_stubs.processes import free_port
from tests.cloud.web.conftest import NOW, ORIGIN, PASSWORD
from tests.cloud.web.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIdProvider, Spoil

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
async def provider() -> AsyncIterator[OpenIdProvider]:
    port = free_port()
    made = OpenIdProvider(
        f"http://127.0.0.1:{port}", {"sub": "s-1", "preferred_username": "erin", "groups": ["staff", "leads"]}
    )
    server = uvicorn.Server(uvicorn.Config(made.app(), port=port, log_level="error", ws="none", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield made
    server.should_exit = True
    await serving


@pytest.fixture
async def erin(
    provider: OpenIdProvider, staffed: Database, case_service: CaseService, change_signal: ChangeSignal
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of Erin, who is known to the provider only."""
    oidc = OidcTable(
        issuer=provider.url,
        client_id=CLIENT_ID,
        client_secret_file="/unused",
        roles={"staff": "agent", "leads": "supervisor"},
    )
    settings = WebTable(oidc=oidc)
    app = create_app(
        staffed, case_service, change_signal, now=lambda: NOW, settings=settings, client_secret=CLIENT_SECRET
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


async def log_in(browser: httpx.AsyncClient) -> httpx.Response:
    """Go to the provider and come back, as a browser does; return the console's answer."""
    start = await browser.get("/login/oidc?next=/devices")
    assert start.status_code == 302, start.text
    async with httpx.AsyncClient() as outside:
        back = await outside.get(start.headers["location"])
    assert back.headers["location"].startswith(f"{ORIGIN}/login/oidc/callback?")
    return await browser.get(back.headers["location"])


async def test_a_person_of_the_provider_gets_an_account_with_the_highest_role_of_their_groups(
    erin: httpx.AsyncClient, staffed: Database, provider: OpenIdProvider
) -> None:
    assert "Log in with single sign-on" in (await erin.get("/login")).text
    answer = await log_in(erin)
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices")
    assert (await erin.get("/audit")).status_code == 200, "a supervisor"
    provider.person |= {"groups": "staff", "preferred_username": "another name"}
    await log_in(erin)
    assert (await erin.get("/audit")).status_code == 403, "an agent from this login on"
    async with staffed.read() as session:
        account = await session.get_one(Account, "erin")
        logins = (await session.scalars(select(AuditEntry).where(AuditEntry.what == "login"))).all()
    assert (account.role, account.password_hash) == ("agent", "")
    assert {entry.actor for entry in logins} >= {"erin"}
    refused = await erin.post("/login", data={"name": "erin", "password": ""})
    assert refused.status_code in (401, 422), "there is no password that fits"


def _without(name: str) -> Spoil:
    return lambda claims: {key: value for key, value in claims.items() if key != name}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda claims: claims | {"nonce": "another"},
        lambda claims: claims | {"aud": "somebody else"},
        lambda claims: claims | {"iss": "https://evil.example"},
        lambda claims: claims | {"exp": int(time.time()) - 3600},
        _without("nonce"),
        _without("exp"),
        _without("sub"),
    ],
)
async def test_an_id_token_that_is_not_for_this_login_is_refused(
    erin: httpx.AsyncClient, provider: OpenIdProvider, spoil: Spoil
) -> None:
    provider.spoil = spoil
    assert (await log_in(erin)).status_code in (403, 502)
    assert (await erin.get("/devices")).headers["location"].startswith("/login")


async def test_an_id_token_signed_with_another_key_is_refused(
    erin: httpx.AsyncClient, provider: OpenIdProvider
) -> None:
    provider.signing_key = RSAKey.generate_key(2048, {"kid": "one"})
    assert (await log_in(erin)).status_code == 502


async def test_a_callback_that_this_browser_did_not_ask_for_is_refused(erin: httpx.AsyncClient) -> None:
    start = await erin.get("/login/oidc")
    async with httpx.AsyncClient() as outside:
        back = (await outside.get(start.headers["location"])).headers["location"]
    erin.cookies.clear()
    assert (await erin.get(back)).status_code == 502


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"groups": ["others"]}, "gives you a role here"),
        ({"preferred_username": None}, "gave no “preferred_username”"),
        ({"preferred_username": "<img>"}, "be a name"),
        ({"preferred_username": "dora"}, "support-cloud account link dora s-1"),
    ],
)
async def test_who_has_no_role_or_no_name_of_their_own_is_refused_with_the_reason(
    erin: httpx.AsyncClient, provider: OpenIdProvider, claims: dict[str, Any], sentence: str
) -> None:
    provider.person |= claims
    answer = await log_in(erin)
    assert answer.status_code == 403
    assert sentence in answer.text


async def test_passwords_can_be_switched_off(
    staffed: Database, case_service: CaseService, change_signal: ChangeSignal
) -> None:
    settings = WebTable(oidc=OidcTable(issuer="https://id.example", default_role="viewer", local_login=False))
    app = create_app(staffed, case_service, change_signal, now=lambda: NOW, settings=settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        assert 'name="password"' not in (await client.get("/login")).text
        assert (await client.post("/login", data={"name": "dora", "password": PASSWORD})).status_code == 403
        assert (await client.get("/api/v1/cases", auth=("dora", PASSWORD))).status_code == 401
