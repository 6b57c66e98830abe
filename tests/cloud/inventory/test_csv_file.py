import pytest
from sqlalchemy import select

from cloud.inventory import csv_file
from cloud.store.database import Database
from cloud.store.device_queries import all_devices
from cloud.store.inventory_tables import CustomerRow, SiteRow
from cloud.store.streams import NOT_SEEN, mark_devices_seen
from cloud.store.tables import Device
from tests.builders import NOON

HEAD = b"device,customer,site,tags\n"


async def add(database: Database, name: str, **columns: object) -> None:
    async with database.begin() as session:
        session.add(Device(device=name, first_seen=NOON, last_seen=NOON, **columns))


async def import_(database: Database, content: bytes) -> csv_file.Plan:
    async with database.begin() as session:
        plan = await csv_file.plan(session, content)
        if not plan.problems:
            await csv_file.apply(session, plan, "alice", NOON)
    return plan


async def test_a_plan_shows_each_field_before_and_after_and_changes_nothing(database: Database) -> None:
    await add(database, "pump-07", customer="Acme", site="Harbour", owner="South")
    content = HEAD + b"pump-07,Acme,Mill Lane,cold\npump-08,Brandt,,\n"
    async with database.begin() as session:
        plan = await csv_file.plan(session, content)
    assert plan.changes == (
        csv_file.Change(2, "pump-07", False, (("site", "Harbour", "Mill Lane"), ("tags", "", "cold"))),
        csv_file.Change(3, "pump-08", True, (("customer", "", "Brandt"),)),
    )
    async with database.read() as session:
        assert [row.site for row in await all_devices(session)] == ["Harbour"]


async def test_an_import_creates_what_is_new_and_leaves_other_columns_as_they_are(database: Database) -> None:
    await add(database, "pump-07", owner="South")
    await import_(database, HEAD + b"pump-07,Acme,Mill Lane,cold\npump-08,Brandt,,\n")
    async with database.read() as session:
        old, new = await all_devices(session)
        assert (old.customer, old.site, old.owner, old.tags, old.inventory_version) == (
            "Acme",
            "Mill Lane",
            "South",
            " cold ",
            2,
        )
        assert (new.device, new.presence) == ("pump-08", NOT_SEEN)
        assert (await session.scalars(select(CustomerRow.name).order_by(CustomerRow.name))).all() == ["Acme", "Brandt"]
        assert (await session.scalars(select(SiteRow.name))).all() == ["Mill Lane"]


async def test_a_device_that_was_entered_before_is_first_seen_when_it_reports(database: Database) -> None:
    await import_(database, b"device\npump-08\n")
    later = NOON.replace(hour=15)
    async with database.begin() as session:
        await mark_devices_seen(session, {"pump-08": later})
    async with database.read() as session:
        row = await session.get_one(Device, "pump-08")
        assert (row.first_seen, row.last_seen, row.presence) == (later, later, "offline")


async def test_an_export_can_be_imported_again_and_changes_nothing(database: Database) -> None:
    await add(database, "pump-07", customer="=cmd()", note='two\nlines; "quoted"', tags=" a b ", consent="none")
    async with database.read() as session:
        text = csv_file.write(await all_devices(session))
        assert "'=cmd()" in text
        plan = await csv_file.plan(session, text.encode())
    assert (plan.problems, plan.changes, plan.unchanged) == ((), (), 1)


@pytest.mark.parametrize(
    ("content", "line", "column", "says"),
    [
        (b"name,site\na,b\n", 1, "device", "there is none named device. Known columns: device, customer"),
        (b"device,colour\na,b\n", 1, "colour", "“colour” is not known. Remove or rename it"),
        (b"device,device\na,b\n", 1, "device", "is there twice. Remove one"),
        (b"device,note\na,b\nb\n", 3, "", "has 1 columns, the first line 2"),
        (b"device\na\n\na\n", 4, "device", "“a” is in line 2 already"),
        (b'device,note\na,"x\ny"\nb c,\n', 4, "device", "“b c” is no device name"),
        (b"device\n\xff\n", 2, "", "not UTF-8"),
        (b"device;site\na;Harbour\n", 2, "customer", "has no customer"),
    ],
)
async def test_a_problem_names_line_column_and_remedy_and_nothing_is_saved(
    database: Database, content: bytes, line: int, column: str, says: str
) -> None:
    plan = await import_(database, content)
    (problem,) = plan.problems
    assert (problem.line, problem.column) == (line, column)
    assert says in problem.text
    async with database.read() as session:
        assert await all_devices(session) == []
