"""The persistence network as shipped: what a device loads, and a device that can't."""

from pathlib import Path

import numpy as np
import pytest

from edge_agent import assembly
from edge_agent.artifacts.tflite_network import load_network, shipped_network
from edge_agent.detection.trends.persistence_features import FEATURES
from models.persistence.answers import SHIPPED, answer

FOLDER = shipped_network(SHIPPED)


def test_the_shipped_network_fits_the_features_of_this_agent_and_claims_probabilities() -> None:
    network = load_network(FOLDER, FEATURES).check()
    features = np.random.default_rng(1).normal(size=(200, len(FEATURES)))
    claimed = answer(network, features)
    assert network.name == SHIPPED == FOLDER.name
    assert ((claimed >= 0) & (claimed <= 1)).all()
    assert np.ptp(claimed) > 0.3


def test_all_artifacts_together_take_less_than_a_hundred_kilobytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.parent.rglob("*") if path.is_file()) < 100_000


def test_a_device_without_the_artifact_goes_on_and_logs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(assembly, "shipped_network", lambda name: tmp_path / name)
    assert assembly.persistence_network() is None
    (line,) = caplog.messages
    assert line.startswith(f"trends: {tmp_path}")
    assert line.endswith("their confidence is at most 50 %")
