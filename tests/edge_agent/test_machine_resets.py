"""Requests to reset a machine are taken once, and a missing folder is none."""

from pathlib import Path

from edge_agent.machine_resets import CHECK_EVERY_S, MachineResets, request_reset


def test_a_request_is_taken_once(tmp_path: Path) -> None:
    request_reset(tmp_path / "state", "Feed pump")
    resets = MachineResets(tmp_path / "state")

    assert resets.take(100.0) == ["Feed pump"]
    assert resets.take(100.0 + CHECK_EVERY_S) == []


def test_the_folder_is_looked_at_every_few_seconds_only(tmp_path: Path) -> None:
    resets = MachineResets(tmp_path)
    assert resets.take(100.0) == []

    request_reset(tmp_path, "fan")

    assert resets.take(101.0) == []
    assert resets.take(100.0 + CHECK_EVERY_S) == ["fan"]
