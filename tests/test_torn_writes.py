"""The short version of `python -m tests.torn_writes`."""

from pathlib import Path

import pytest

from tests import torn_writes
from tests.torn_writes import run


def test_a_torn_store_always_starts_and_nothing_of_it_is_gone_without_a_word(tmp_path: Path) -> None:
    result = run(60, 7, tmp_path)
    assert result["first_failures"] == []
    assert result["failures"] == 0


def lose_the_log(path: Path, *_: object) -> str:
    path.with_name(path.name + "-wal").unlink()
    return "drop -wal"


def test_the_judge_of_torn_stores_sees_a_record_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.losses.missing", lambda *_: [])  # an outbox that does not look what is missing
    monkeypatch.setattr(torn_writes, "harm", lose_the_log)
    failures = run(10, 7, tmp_path)["failures"]
    assert isinstance(failures, int)
    assert failures > 0
