"""A database that an earlier version wrote is brought to the present version, and shows the same cases."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cloud import accounts
from cloud.store import delivery_queries, queries
from cloud.store.database import Database
from cloud.store.tables import Account, CaseState

FOLDER = Path(__file__).parent / "databases"
OLD = sorted(path.stem for path in FOLDER.glob("*.sqlite"))
RENAMED = {"parked": "dead_letter"}  # tables, and what they are called now
COLUMNS = (
    "number", "device", "title", "state", "severity", "severity_reason", "opened_reason", "owner", "label",
)  # fmt: skip
TIMES = ("opened_at", "updated_at", "closed_at", "impact_at")


@pytest.fixture(params=OLD)
async def migrated(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A copy of an old database after its migration, and what the old version read from it."""
    copy = shutil.copy(FOLDER / f"{request.param}.sqlite", tmp_path / "cloud.db")
    database = Database(f"sqlite+aiosqlite:///{copy}")
    await database.migrate()
    yield database, json.loads((FOLDER / f"{request.param}.json").read_text())
    await database.close()


async def shown(database: Database) -> list[dict[str, Any]]:
    """The cases as the inbox lists them, each with what its page shows."""
    every = queries.CaseFilter(states=frozenset(CaseState))
    async with database.read() as session:
        lines = await queries.inbox(session, every, 100)
        return [_shown(line, await queries.case_file(session, line.case.number)) for line in lines]


def _shown(line: queries.CaseLine, file: queries.CaseFile | None) -> dict[str, Any]:
    assert file is not None
    times = {name: getattr(line.case, name) for name in TIMES}
    return {
        **{name: getattr(line.case, name) for name in COLUMNS},
        **{name: at and at.isoformat() for name, at in times.items()},
        "faults": [episode.fault for episode in line.episodes],
        "timeline": [[entry.kind, entry.actor, entry.text] for entry in file.entries],
        "evidence": sorted(file.evidence),
    }


def test_there_is_an_old_database() -> None:
    assert OLD


async def test_an_old_database_shows_the_same_cases(migrated: tuple[Database, dict[str, Any]]) -> None:
    database, before = migrated
    assert await shown(database) == before["cases"]
    assert {case["state"] for case in before["cases"]} >= {"new", "open", "closed"}


async def test_no_row_of_an_old_database_is_lost(migrated: tuple[Database, dict[str, Any]]) -> None:
    database, before = migrated
    async with database.read() as session:
        for table, count in before["rows"].items():
            assert count > 0, f"the old database has nothing in {table}"
            name = RENAMED.get(table, table)
            assert await session.scalar(text(f"SELECT count(*) FROM {name}")) == count, name


async def test_messages_that_an_old_version_set_aside_can_be_read(migrated: tuple[Database, dict[str, Any]]) -> None:
    async with migrated[0].read() as session:
        causes = [letter.cause for letter in await delivery_queries.dead_letters(session, 10)]
    assert len(causes) == 2
    assert all(causes)


async def test_an_account_of_an_old_database_can_log_in(migrated: tuple[Database, dict[str, Any]]) -> None:
    async with migrated[0].read() as session:
        alice = await session.get(Account, "alice")
    assert await accounts.fits(alice, "correct horse")


async def test_cases_and_episodes_of_an_old_database_know_their_fault_and_first_severity(
    migrated: tuple[Database, dict[str, Any]],
) -> None:
    async with migrated[0].read() as session:
        assert await session.scalar(text("SELECT count(*) FROM support_case WHERE fault = ''")) == 0
        assert await session.scalar(text("SELECT count(*) FROM episode WHERE first_severity <> severity")) == 0
