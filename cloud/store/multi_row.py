"""Multi-row statements: many rows in one INSERT or UPDATE.

What flows in: a session, a table and rows as dictionaries with the same keys. What flows out: one statement for each
ROWS_AT_ONCE rows, as text for the driver. SQLAlchemy's executemany makes the driver step once for each row; on SQLite
each step releases the interpreter lock and has to win it back from the event loop.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Dialect, Table
from sqlalchemy.ext.asyncio import AsyncSession

ROWS_AT_ONCE = 128  # both drivers keep prepared statements; one more for each number of rows below this one

Row = Mapping[str, Any]
_Bind = Callable[[Any], Any] | None


async def insert_rows(session: AsyncSession, table: Table, rows: Sequence[Row], suffix: str = "") -> None:
    """Insert rows; `suffix` is what follows the values, such as an ON CONFLICT clause."""
    if rows:
        names = tuple(rows[0])
        into = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES"
        await _execute(session, table, names, rows, (into, suffix))


async def raise_values(
    session: AsyncSession, table: Table, rows: Sequence[Row], keys: Sequence[str], grows: str
) -> None:
    """Set the integer column `grows` of the rows with these keys, wherever that makes it larger."""
    if rows:
        names = (*keys, grows)
        same = [f"{table.name}.{name} = new.column{place}" for place, name in enumerate(keys, 1)]
        new = f"new.column{len(names)}"  # both databases name the columns of VALUES like this
        where = " AND ".join([*same, f"{table.name}.{grows} < {new}"])
        update = f"UPDATE {table.name} SET {grows} = {new} FROM (VALUES"  # noqa: S608  names of our own tables
        await _execute(session, table, names, rows, (update, f") AS new WHERE {where}"), grows)


async def _execute(
    session: AsyncSession,
    table: Table,
    names: tuple[str, ...],
    rows: Sequence[Row],
    around: tuple[str, str],
    integer: str = "",
) -> None:
    connection = await session.connection()
    binds = _binds(connection.dialect, table, names)
    numbered = connection.dialect.paramstyle == "numeric_dollar"
    casts = tuple(name == integer for name in names)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        statement = " ".join((around[0], _values(len(some), casts, numbered), around[1]))
        columns = [_bound([row[name] for row in some], bind) for name, bind in zip(names, binds, strict=True)]
        await connection.exec_driver_sql(statement, tuple(chain.from_iterable(zip(*columns, strict=True))))


def _bound(values: list[Any], bind: _Bind) -> list[Any]:
    """Convert values; one that follows itself, like the time of receipt of a batch, is converted once."""
    if bind is None:
        return values
    bound, last, converted = [], values[0], bind(values[0])
    for value in values:
        if value is not last:
            last, converted = value, bind(value)
        bound.append(converted)
    return bound


@lru_cache(maxsize=64)
def _binds(dialect: Dialect, table: Table, names: tuple[str, ...]) -> tuple[_Bind, ...]:
    """Return what turns a column's Python values into the driver's."""
    return tuple(table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names)


@lru_cache(maxsize=1024)
def _values(rows: int, casts: tuple[bool, ...], numbered: bool) -> str:
    """Return the placeholders of so many rows; PostgreSQL takes an uncast one outside of INSERT for a text."""
    marks = _marks(numbered)
    row = [[f"CAST({next(marks)} AS BIGINT)" if cast else next(marks) for cast in casts] for _ in range(rows)]
    return ", ".join(f"({', '.join(each)})" for each in row)


def _marks(numbered: bool) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"${number}" if numbered else "?"
