"""The command line of the agent: what it makes of a configuration; its commands are run in tests/journeys."""

import sqlite3
from pathlib import Path

import pytest

from edge_agent import cli
from edge_agent.config import State
from edge_agent.outbox import Outbox
from edge_agent.room import Room


def test_an_outbox_that_has_no_disk_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_full_disk(path: Path | None, room: Room) -> Outbox:
        if path is not None:
            raise sqlite3.OperationalError("database or disk is full")
        return Outbox(None, room)

    monkeypatch.setattr(cli, "Outbox", on_a_full_disk)
    outbox = cli._outbox(tmp_path, State())
    for _ in range(2 * cli.IN_MEMORY_BYTES // 100_000):
        outbox.put([bytes(100_000)])
    assert outbox._store.used_bytes() <= cli.IN_MEMORY_BYTES
    outbox.close()
