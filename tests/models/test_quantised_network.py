"""Quantised networks: int8 artifacts that say what their float weights say. Needs the extra `train`."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge_agent.artifacts.tflite_network import MANIFEST_FILE, MODEL_FILE, load_network
from models.dense_network import average
from models.quantised_network import Ends, Scaling, TrainingError, scaling_of, to_int8, write_artifact
from tests.models.networks import a_network

FEATURES = ("level", "slope", "gap")


def test_a_constant_feature_is_scaled_by_one_and_far_values_are_clipped() -> None:
    scaling = scaling_of(np.array([[1.0, 5.0], [3.0, 5.0]]))
    assert scaling.scaled(np.array([[2.0, 6.0], [1e9, 5.0]])).tolist() == [[0.0, 1.0], [8.0, 0.0]]


def test_the_average_of_two_networks_is_one_int8_graph_and_made_again_it_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="needs the extra `train`")
    networks = [a_network(3, seed=1), a_network(3, seed=2)]
    values = np.random.default_rng(5).normal(size=(400, 3))
    content = to_int8(networks, values)
    assert to_int8(networks, values) == content
    folder = tmp_path / "shape-7"
    ends = Ends(features=FEATURES, outputs=("logit",), scaling=Scaling(np.zeros(3), np.ones(3)))
    write_artifact(folder, content, ends, training={"seed": 1}, card="# shape-7\n")
    loaded, floats = load_network(folder, FEATURES), average(networks, values)
    assert loaded.name == "shape-7"
    assert loaded.run(values) == pytest.approx(floats, abs=0.03 * float(np.ptp(floats)))
    assert json.loads((folder / MANIFEST_FILE).read_text())["bytes"] == (folder / MODEL_FILE).stat().st_size


def test_a_machine_without_tensorflow_gets_a_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(TrainingError, match=r"pip install 'forewarn\[train\]'"):
        to_int8([a_network(3)], np.zeros((1, 3)))
