"""The case service and the reference model agree on random walks. The long run is a command: see walks.py."""

from pathlib import Path

from tests.cloud.case_service.walks import walk

STEPS = 300


def test_random_walks_agree_with_the_reference_model_on_sqlite(tmp_path: Path) -> None:
    assert walk(f"sqlite+aiosqlite:///{tmp_path / 'walks.db'}", STEPS, derandomize=True) >= STEPS


def test_random_walks_agree_with_the_reference_model_on_postgresql(postgres: str) -> None:
    assert walk(postgres, STEPS, derandomize=True) >= STEPS
