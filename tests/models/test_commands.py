"""`python -m models`, and the artifact it made."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from edge_agent.detection.scoring import FEATURE_VERSION, FEATURES
from edge_agent.model import load_net, shipped
from models.__main__ import main
from models.dense import load_dense
from tests.models.recordings import write_fleet

without_tensorflow = importlib.util.find_spec("tensorflow") is None


def test_the_float_weights_and_the_int8_model_of_the_artifact_are_the_same_network() -> None:
    net, dense = load_net(shipped()), load_dense(shipped() / "float32.npz", "shapes")
    windows = np.random.default_rng(1).normal(size=(500, net.window)).astype(np.float32)
    assert np.abs(net.judge(windows) - dense.judge(windows)).mean() < 0.05


def test_manifest_and_card_of_the_artifact_say_what_it_is() -> None:
    manifest = json.loads((shipped() / "manifest.json").read_text())
    content = (shipped() / "model.tflite").read_bytes()
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["bytes"] == len(content) < 100_000
    assert (tuple(manifest["features"]), manifest["feature_version"]) == (FEATURES, FEATURE_VERSION)
    assert manifest["repeatable"] is True
    card = (shipped() / "card.md").read_text()
    assert manifest["sha256"] in card


def test_missing_data_ends_with_one_line_and_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"models: {tmp_path}: no <fleet>/<machine>.npz in this folder\n"


def test_wrong_usage_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["train", "--epochs", "0", "--data", ".", "--out", "."])
    assert left.value.code == 2
    assert "must be at least 1" in capsys.readouterr().err


@pytest.mark.skipif(not without_tensorflow, reason="tensorflow is installed here")
def test_training_without_tensorflow_names_the_extra(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "models: tensorflow is not installed: pip install 'forewarn[train]'\n"


@pytest.mark.skipif(without_tensorflow, reason="tensorflow is not installed: pip install 'forewarn[train]'")
def test_training_makes_an_artifact_that_loads_and_training_again_makes_the_same(tmp_path: Path) -> None:
    data = write_fleet(tmp_path / "data", 5, rows=1500)
    for out in ("one", "two"):
        command = ["train", "--data", str(data), "--out", str(tmp_path / out), "--epochs", "1", "--model-version", "0"]
        assert main(command) == 0
    assert load_net(tmp_path / "one" / "shapes-0").name == "shapes-0"
    for file in ("model.tflite", "float32.npz", "manifest.json", "card.md"):
        assert (tmp_path / "one" / "shapes-0" / file).read_bytes() == (
            tmp_path / "two" / "shapes-0" / file
        ).read_bytes()
