"""The store holds what it promises about transactions, on SQLite, and about migrations, on every database there is."""

import asyncio

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, StatementError

from cloud.store import search_index
from cloud.store.database import Database, is_trouble
from cloud.store.tables import Base, Device, SupportCase
from tests.builders import NOON


def a_device(name: str = "pump-07") -> Device:
    return Device(device=name, first_seen=NOON, last_seen=NOON)


async def test_the_migrations_build_exactly_the_tables_of_the_models(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        ours = {"include_name": lambda name, _type, _parents: not search_index.is_of_index(name)}
        context = MigrationContext.configure(connection, opts={"compare_type": True} | ours)
        return list(compare_metadata(context, Base.metadata))

    async with database.read() as session:
        connection = await session.connection()
        assert "support_case" in await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        assert await connection.run_sync(differences) == []


async def test_migrating_twice_changes_nothing(database: Database) -> None:
    await database.migrate()
    async with database.read() as session:
        assert await session.scalar(text("SELECT count(*) FROM alembic_version")) == 1


async def test_what_a_transaction_wrote_stays_when_it_ends_and_goes_when_it_fails(database: Database) -> None:
    async with database.begin() as session:
        session.add(a_device("pump-07"))

    async def fail_half_way() -> None:
        async with database.begin() as session:
            session.add(a_device("pump-08"))
            await session.flush()
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        await fail_half_way()
    async with database.read() as session:
        assert (await session.scalars(select(Device.device))).all() == ["pump-07"]


async def test_two_transactions_that_read_before_they_write_never_lock_each_other_out(sqlite: Database) -> None:
    async with sqlite.begin() as session:
        session.add(a_device())

    async def count_up() -> None:
        async with sqlite.begin() as session:
            device = await session.get_one(Device, "pump-07")
            await asyncio.sleep(0.01)  # time for the others to read the same number, were they let in
            device.metrics += 1

    await asyncio.gather(*(count_up() for _ in range(8)))
    async with sqlite.read() as session:
        assert await session.scalar(select(Device.metrics)) == 8


async def test_who_wants_to_write_waits_no_longer_than_for_those_who_asked_before(database: Database) -> None:
    order = []

    async def write(name: str, times: int) -> None:
        for _ in range(times):
            async with database.begin() as session:
                await session.execute(text("SELECT 1"))
                order.append(name)

    await asyncio.gather(write("ingest", 5), write("Alice", 1))
    assert order.index("Alice") == 1


async def test_a_reader_does_not_wait_for_a_writer_and_sees_the_state_before_it(database: Database) -> None:
    async with database.begin() as writer:
        writer.add(a_device())
        await writer.flush()
        async with asyncio.timeout(1), database.read() as reader:
            assert await reader.scalar(select(func.count()).select_from(Device)) == 0


async def test_sqlite_survives_power_cuts(sqlite: Database) -> None:
    async with sqlite.read() as session:
        pragmas = {name: await session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


async def test_a_case_of_a_device_that_does_not_exist_is_refused(database: Database) -> None:
    now = {"opened_at": NOON, "updated_at": NOON}
    words = {"title": "", "state": "new", "severity": "high", "severity_reason": "", "opened_reason": ""}

    async def add() -> None:
        async with database.begin() as session:
            session.add(SupportCase(device="nobody", **now, **words))

    with pytest.raises(IntegrityError):
        await add()


async def test_a_server_that_is_not_there_is_trouble() -> None:
    nowhere = Database("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    with pytest.raises(OSError, match=r"127\.0\.0\.1") as raised:
        async with nowhere.begin() as session:
            await session.execute(text("SELECT 1"))
    assert is_trouble(raised.value)


async def test_a_table_that_is_not_there_is_trouble_and_a_value_that_does_not_fit_is_not(database: Database) -> None:
    async def error_of(statement: str, **values: object) -> Exception:
        with pytest.raises(Exception, match=r".") as raised:
            async with database.begin() as session:
                await session.execute(text(statement), values)
        return raised.value

    assert is_trouble(await error_of("SELECT * FROM nothing"))
    device = "INSERT INTO device (device, first_seen) VALUES (:device, NULL)"
    assert not is_trouble(await error_of(device, device="pump-07"))
    assert not is_trouble(await error_of("SELECT CAST(:number AS INTEGER)", number=2**70))


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (asyncpg.CannotConnectNowError("the database system is starting up"), True),
        (OperationalError("", {}, Exception("database or disk is full")), True),
        (IntegrityError("", {}, Exception()), False),
        (DataError("", {}, Exception()), False),
        (StatementError("naive time", "", {}, ValueError()), False),
        (OverflowError("too large"), False),
    ],
)
def test_trouble_is_what_another_try_may_survive(error: Exception, trouble: bool) -> None:
    assert is_trouble(error) is trouble
