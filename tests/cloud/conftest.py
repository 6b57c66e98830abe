"""A real database for who asks for one: a fresh SQLite file, and PostgreSQL too where there is one; and a free port."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud.store.database import Database
from firmware_stubs.processes import free_port
from tests.chaos.postgres import Postgres
from tests.journeys.conftest import missing

# postgresql+asyncpg://user@host/name of a database that tests may empty; without it they start one of their own
POSTGRES = os.environ.get("FOREWARN_TEST_POSTGRES", "")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL database that tests may empty."""
    if POSTGRES:
        yield POSTGRES
        return
    with tempfile.TemporaryDirectory(prefix="forewarn-postgres-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # it runs as a user of its own
        try:
            server = Postgres(Path(name) / "server", "fsync=off", "full_page_writes=off")
        except FileNotFoundError:
            missing("postgresql")
        server.start()
        yield server.url
        server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    on_postgres = request.param == "postgres"
    url = request.getfixturevalue("postgres") if on_postgres else f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}"
    database = Database(url)
    if on_postgres:
        async with database.begin() as session:
            await session.execute(text("DROP SCHEMA public CASCADE"))
            await session.execute(text("CREATE SCHEMA public"))
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
def port() -> int:
    """A port of this machine that is free now."""
    return free_port()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    """For what only SQLite does, and for tests that make many databases."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'only.db'}")
    await database.migrate()
    yield database
    await database.close()
