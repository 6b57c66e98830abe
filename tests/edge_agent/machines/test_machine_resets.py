"""Requests to reset a machine are taken once, and a missing folder is none."""

from pathlib import Path

import pytest

from edge_agent.machines.machine_resets import CHECK_EVERY_S, MachineResets, request_reset


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


def test_a_request_that_can_t_be_removed_is_logged_once_and_keeps_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request_reset(tmp_path, "fan")
    (tmp_path / "machine-resets" / "pump").mkdir()
    resets = MachineResets(tmp_path)

    assert resets.take(100.0) == ["fan"]
    assert resets.take(100.0 + CHECK_EVERY_S) == []
    (message,) = caplog.messages
    assert message.endswith("request the reset as the agent's user")
