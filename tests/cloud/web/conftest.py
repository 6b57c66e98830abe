"""The console over a real database, with Alice and Bob in it."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from cloud import accounts
from cloud.case_service import CaseService
from cloud.cases.episodes import Rules
from cloud.change_signal import ChangeSignal
from cloud.outcomes import outcome_followers
from cloud.store.database import Database
from cloud.store.tables import Account
from cloud.web.app import create_app
from tests.cloud.web import seed

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ORIGIN = "http://console.test"
PASSWORD = "correct horse"
ROLES = {"vera": "viewer", "alice": "agent", "bob": "supervisor", "dora": "admin"}


@pytest.fixture(scope="session")
def hashed_accounts() -> dict[str, str]:
    """Hashing takes its time on purpose; once is enough."""
    return {name: accounts._HASHER.hash(PASSWORD) for name in ROLES}


@pytest.fixture
async def staffed(database: Database, hashed_accounts: dict[str, str]) -> Database:
    async with database.begin() as session:
        for name, password_hash in hashed_accounts.items():
            session.add(Account(name=name, password_hash=password_hash, role=ROLES[name], created_at=NOW))
    return database


@pytest.fixture
def case_service() -> CaseService:
    return CaseService(Rules(), outcome_followers())


@pytest.fixture
async def numbers(staffed: Database, case_service: CaseService) -> dict[str, int]:
    """A day of cases; the number of each device's case."""
    return await seed.a_day(staffed, case_service, NOW)


@pytest.fixture
def change_signal() -> ChangeSignal:
    return ChangeSignal()


@pytest.fixture
def app(staffed: Database, case_service: CaseService, change_signal: ChangeSignal) -> FastAPI:
    return create_app(staffed, case_service, change_signal, now=lambda: NOW)


@pytest.fixture
async def served(staffed: Database, case_service: CaseService, change_signal: ChangeSignal) -> AsyncIterator[str]:
    """The address of the console on a real socket, with the real time."""
    app = create_app(staffed, case_service, change_signal, now=lambda: datetime.now(UTC))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    change_signal.close()  # ends the event streams of open pages
    server.should_exit = True
    await serving


def form_token(page: str) -> str:
    """The token that this page's forms carry."""
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    assert found
    return found[1]


@pytest.fixture
async def carol(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An outsider: a client that is not logged in."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
        yield client


@asynccontextmanager
async def logged_in(app: FastAPI, name: str) -> AsyncGenerator[httpx.AsyncClient]:
    """A client in which somebody is logged in."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        answer = await client.post("/login", data={"name": name, "password": PASSWORD})
        assert answer.status_code == 303
        yield client


@pytest.fixture
async def alice(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client in which Alice, a support agent, is logged in."""
    async with logged_in(app, "alice") as client:
        yield client


@pytest.fixture
async def bob(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client in which Bob, a supervisor, is logged in."""
    async with logged_in(app, "bob") as client:
        yield client


@pytest.fixture
async def dora(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client in which Dora, an admin, is logged in."""
    async with logged_in(app, "dora") as client:
        yield client
