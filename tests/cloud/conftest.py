"""A real database for who asks for one: a fresh SQLite file, and PostgreSQL too where there is one; and a free port."""

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud.store.database import Database

# postgresql+asyncpg://user@host/name of a database that tests may empty
POSTGRES = os.environ.get("FOREWARN_TEST_POSTGRES", "")


@pytest.fixture(params=["sqlite", "postgres"] if POSTGRES else ["sqlite"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(POSTGRES if request.param == "postgres" else f"sqlite+aiosqlite:///{tmp_path / 'cloud.db'}")
    if request.param == "postgres":
        async with database.begin() as session:
            await session.execute(text("DROP SCHEMA public CASCADE"))
            await session.execute(text("CREATE SCHEMA public"))
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
def port() -> int:
    """A port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    """For what only SQLite does, and for tests that make many databases."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'only.db'}")
    await database.migrate()
    yield database
    await database.close()
