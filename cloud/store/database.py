"""The database: opens SQLite or PostgreSQL, migrates it, and hands out transactions.

What flows in: a URL. What flows out: sessions, each of which is exactly one transaction.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from alembic import command
from alembic.config import Config
from asyncpg import PostgresError
from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from cloud.store import search_index
from cloud.store.audit import Actor, AuditedSession, session_info

_DATA_STATES = ("22", "23")  # classes of SQLSTATE: data exception, integrity constraint violation
BUSY_TIMEOUT_S = 10.0  # how long a transaction waits for another one's lock on SQLite


class Database:
    """One database and its pool of connections."""

    def __init__(self, url: str) -> None:
        """`url` is ``sqlite+aiosqlite:///path`` or ``postgresql+asyncpg://user@host/name``."""
        self._engine = _sqlite(url) if url.startswith("sqlite") else create_async_engine(url, pool_pre_ping=True)
        self._writing = asyncio.Lock()

    async def migrate(self) -> None:
        """Bring the tables to the present version, in one transaction: all of it or nothing."""
        async with self._engine.begin() as connection:
            await connection.run_sync(_upgrade)

    @asynccontextmanager
    async def begin(self, actor: Actor | None = None) -> AsyncGenerator[AsyncSession]:
        """One transaction that may write: committed on leaving, rolled back on an error.

        What it changes for a person, `actor` or the one that acts in this context, goes into the audit log.

        Within this process they take their turns in the order in which they ask. Left to the databases, SQLite would
        let one wait for ever beside a busy ingest, and PostgreSQL break off two that lock the same rows crosswise.
        """
        session = AsyncSession(
            self._engine, sync_session_class=AuditedSession, expire_on_commit=False, info=session_info(actor)
        )
        async with self._writing, session, session.begin():
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """One consistent look that writes nothing: it never waits for a writer, and never makes one wait."""
        async with AsyncSession(self._engine.execution_options(sqlite_begin="DEFERRED")) as session:
            yield session

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


def is_trouble(error: BaseException) -> bool:
    """Whether the database is to blame (away, full, locked, without our tables), and not what it was given."""
    if isinstance(error, IntegrityError | DataError):
        return False
    if isinstance(error, DBAPIError):  # asyncpg's own words for the same: a state, or a ValueError before it is sent
        state = getattr(error.orig, "sqlstate", None) or ""
        return not state.startswith(_DATA_STATES) and not isinstance(getattr(error.orig, "__cause__", None), ValueError)
    if isinstance(error, StatementError):
        return False
    return isinstance(error, SQLAlchemyError | OSError | PostgresError)  # a connection that is refused comes unwrapped


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "cloud.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    search_index.install(connection)


def _sqlite(url: str) -> AsyncEngine:
    """SQLite with a transaction that says at its start whether it will write.

    By itself the driver begins at the first write, after the transaction has read: if another one has
    written in between, SQLite refuses at once with "database is locked", whatever the timeout.
    BEGIN IMMEDIATE waits its turn instead.
    """
    engine = create_async_engine(url, connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_S})
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _set_pragmas(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for each other
    cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged record survives a power cut
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")
