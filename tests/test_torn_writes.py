"""The short version of `python -m tests.torn_writes`."""

from pathlib import Path

import pytest

from tests import torn_writes
from tests.torn_writes import run


def test_a_torn_store_always_opens_and_each_loss_is_declared(tmp_path: Path) -> None:
    result = run(60, 7, tmp_path)
    assert result["first_failures"] == []
    assert result["failures"] == 0


def lose_the_log(path: Path, *_: object) -> str:
    path.with_name(path.name + "-wal").unlink()
    return "drop -wal"


def test_the_check_of_torn_stores_finds_an_undeclared_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "edge_agent.outbox.loss_table.missing", lambda *_: []
    )  # an outbox that does not look for missing numbers
    monkeypatch.setattr(torn_writes, "damage", lose_the_log)
    failures = run(10, 7, tmp_path)["failures"]
    assert isinstance(failures, int)
    assert failures > 0
