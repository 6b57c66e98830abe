"""A real database for who asks for one: a fresh SQLite file, and PostgreSQL too where there is one; and a free port."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from cloud.store.database import Database
from firmware_stubs.processes import free_port
from tests.chaos.postgres import Postgres
from tests.journeys.conftest import missing

# postgresql+asyncpg://user@host/name of a database that tests may empty; without it they start one of their own
POSTGRES = os.environ.get("FOREWARN_TEST_POSTGRES", "")
_MIGRATED: set[str] = set()  # servers that have the migrated database


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
async def database(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Database]:
    if request.param == "postgres":
        database = Database(await _copied_on_server(request.getfixturevalue("postgres")))
    else:
        database = await _copied_file(tmp_path / "cloud.db", tmp_path_factory)
    yield database
    await database.close()


@pytest.fixture
def port() -> int:
    """A port of this machine that is free now."""
    return free_port()


@pytest.fixture
async def sqlite(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Database]:
    """For what only SQLite does, and for tests that make many databases."""
    database = await _copied_file(tmp_path / "only.db", tmp_path_factory)
    yield database
    await database.close()


async def _copied_file(path: Path, factory: pytest.TempPathFactory) -> Database:
    """Copy a database that was migrated once for all tests of this process."""
    migrated = factory.getbasetemp() / "migrated.db"
    if not migrated.exists():
        await _migrate(f"sqlite+aiosqlite:///{migrated}")
    shutil.copyfile(migrated, path)
    return Database(f"sqlite+aiosqlite:///{path}")


async def _copied_on_server(url: str) -> str:
    """The same on PostgreSQL: the server copies the migrated database. Return the URL of the copy."""
    migrated, copy = (urlsplit(url)._replace(path=f"/forewarn_{name}").geturl() for name in ("migrated", "test"))
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    async with engine.connect() as connection:
        if url not in _MIGRATED:
            _MIGRATED.add(url)
            await connection.execute(text("DROP DATABASE IF EXISTS forewarn_migrated WITH (FORCE)"))
            await connection.execute(text("CREATE DATABASE forewarn_migrated"))
            await _migrate(migrated)
        await connection.execute(text("DROP DATABASE IF EXISTS forewarn_test WITH (FORCE)"))
        await connection.execute(text("CREATE DATABASE forewarn_test TEMPLATE forewarn_migrated"))
    await engine.dispose()
    return copy


async def _migrate(url: str) -> None:
    database = Database(url)
    await database.migrate()
    await database.close()
