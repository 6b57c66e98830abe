"""Searching finds cases by title, notes and device, and follows every change of them, on both databases."""

import pytest
from sqlalchemy import select, text, update

from cloud.store import queries
from cloud.store.database import Database
from cloud.store.search_index import tokens
from cloud.store.tables import CaseEntry, Device, SupportCase
from tests.builders import NOON


async def add_case(database: Database, name: str, title: str, **columns: str) -> int:
    async with database.begin() as session:
        if await session.get(Device, name) is None:
            session.add(Device(device=name, first_seen=NOON, last_seen=NOON, **columns))
            await session.flush()
        times = {"opened_at": NOON, "updated_at": NOON}
        words = {
            "state": "new",
            "severity": "high",
            "severity_reason": "",
            "opened_reason": "",
            "fault": "disk.filling",
        }
        case = SupportCase(device=name, title=title, merged_episodes=[], **times, **words)
        session.add(case)
        await session.flush()
        return case.number


async def add_note(database: Database, number: int, note: str, kind: str = "note") -> None:
    async with database.begin() as session:
        session.add(CaseEntry(case_number=number, at=NOON, actor="alice", kind=kind, text=note, detail={}))


async def found(database: Database, *texts: str) -> list[int]:
    async with database.read() as session:
        lines = await queries.inbox(session, queries.CaseFilter(texts=texts), 50)
        assert await queries.count(session, queries.CaseFilter(texts=texts)) == len(lines)
        return sorted(line.case.number for line in lines)


async def test_words_are_found_in_title_notes_and_device_also_by_their_beginning(database: Database) -> None:
    disk = await add_case(
        database, "pump-07", "File system / of pump-07 is filling up", customer="Östra Wasser", site="Mill Lane"
    )
    heat = await add_case(database, "kiln-02", "kiln-02 stays too hot at cpu_thermal", site="Harbour")
    await add_note(database, heat, "The fan is loud: replaced by O'Brien's shop, no 4711/b.")
    await add_note(database, heat, "The device sent a part of an evidence pack.", kind="evidence")
    expected: dict[tuple[str, ...], list[int]] = {
        ("file system",): [disk],
        ("file sys",): [disk],
        ("fill",): [disk, heat],
        ("PUMP-07",): [disk],
        ("pump-0",): [disk],
        ("mill lane",): [disk],
        ("lane mill",): [],
        ("lane", "mill"): [disk],
        ("östra",): [disk],
        ("fan",): [heat],
        ("o'brien",): [heat],
        ("4711/b",): [heat],
        ("cpu_thermal",): [heat],
        ("fan", "harbour"): [heat],
        ("fan", "pump"): [],
        ("pack",): [],
        ("disk.filling",): [disk, heat],
        (f"#{heat}",): [heat],
        ("#999999",): [],
    }
    for texts, numbers in expected.items():
        assert await found(database, *texts) == numbers, texts


async def test_a_changed_device_is_found_under_its_new_place_only(database: Database) -> None:
    number = await add_case(database, "pump-07", "It leaks", site="Mill Lane")
    async with database.begin() as session:
        await session.execute(update(Device).where(Device.device == "pump-07").values(site="Harbour"))
    assert await found(database, "harbour") == [number]
    assert await found(database, "lane") == []


async def test_every_start_repairs_the_triggers_that_a_migration_dropped(database: Database) -> None:
    async with database.begin() as session:
        connection = await session.connection()
        on_table = "" if connection.dialect.name == "sqlite" else " ON support_case"
        await session.execute(text(f"DROP TRIGGER search_case_new{on_table}"))
    await database.migrate()
    number = await add_case(database, "pump-07", "It leaks")
    assert await found(database, "leaks") == [number]


@pytest.mark.parametrize(
    "hostile", ['"', '" OR 1 --', "a* NEAR(b)", "'); DROP TABLE device; --", "a & !b", "\\", "<->"]
)
async def test_signs_of_a_query_language_are_only_signs(database: Database, hostile: str) -> None:
    await add_case(database, "pump-07", "It leaks")
    assert await found(database, hostile) == []
    async with database.read() as session:
        assert (await session.scalars(select(Device.device))).all() == ["pump-07"]


def test_words_are_runs_of_letters_and_digits() -> None:
    assert tokens("/var/lib_x Pump-07: 30 %") == "var lib x pump 07 30"
    assert tokens("%%%") == ""
