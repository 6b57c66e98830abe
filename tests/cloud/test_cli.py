"""The command line says what it can do, checks without changing anything, and fails with one line."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from cloud import __version__
from cloud.cli import main
from cloud.store.database import Database
from cloud.store.people_tables import AuditEntry


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"support-cloud {__version__}\n"


def test_check_config_prints_the_effective_settings_and_creates_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "--data", str(tmp_path / "data"), "--broker", "mqtts://a.example"]) == 0
    assert capsys.readouterr().out == (
        f"the configuration is good: data in {tmp_path}/data, broker mqtts://a.example, console on 127.0.0.1:8080\n"
    )
    assert not (tmp_path / "data").exists()


def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--web", "0.0.0.0:8080"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "support-cloud: command line: web.listen = '0.0.0.0:8080': others could reach the console without TLS"
    )
    assert "set web.certificate_file and web.key_file, or put a proxy" in line
    assert main(["check-config", "--web", "0.0.0.0:8080", "--allow-remote"]) == 2, "that is for the broker alone"
    assert main(["check-config", "--mqtt", "0.0.0.0:1883", "--allow-remote"]) == 0


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["check-config", "--help"], ["version", "--help"]]
)
def test_every_command_has_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "usage: support-cloud" in capsys.readouterr().out


def test_no_command_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_people_are_added_changed_and_listed_and_the_command_line_is_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(tmp_path)]
    asyncio.run(_migrated(tmp_path))
    assert main(["account", "add", "erin", "--role", "admin", *options]) == 0
    assert capsys.readouterr().out.startswith("one-time password of erin: ")
    assert main(["account", "add", "frank", *options]) == 0
    assert main(["account", "role", "frank", "supervisor", *options]) == 0
    assert main(["account", "disable", "frank", *options]) == 0
    assert main(["account", "end-sessions", "frank", *options]) == 0
    capsys.readouterr()
    assert main(["account", "list", *options]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [["erin", "admin", "one-time", "password", "0"], ["frank", "supervisor", "disabled", "0"]]
    assert main(["account", "role", "erin", "viewer", *options]) == 2
    assert "erin is the only admin" in capsys.readouterr().err
    assert main(["account", "enable", "nobody", *options]) == 1
    assert "There is no account “nobody”" in capsys.readouterr().err
    whats = asyncio.run(_audited(tmp_path))
    assert whats == [
        ("account: add", "erin"),
        ("account: add", "frank"),
        *((f"account: {action}", "frank") for action in ("role", "disable", "end-sessions")),
    ]


def _database(folder: Path) -> Database:
    return Database(f"sqlite+aiosqlite:///{folder / 'cloud.db'}")


async def _migrated(folder: Path) -> None:
    database = _database(folder)
    await database.migrate()
    await database.close()


async def _audited(folder: Path) -> list[tuple[str, str]]:
    database = _database(folder)
    async with database.read() as session:
        rows = (await session.scalars(select(AuditEntry).order_by(AuditEntry.id))).all()
    await database.close()
    return [(row.what, row.subject.removeprefix("account ")) for row in rows if row.actor == "command line"]
