"""The shipped network: loaded as devices load it, and refused when it isn't what its manifest says."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent import model
from edge_agent.detection.alarms import UNUSUAL
from edge_agent.detection.scoring import Scorer
from edge_agent.model import ModelError, load_net, shipped


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A copy of the shipped artifact, to be damaged."""
    return Path(shutil.copytree(shipped(), tmp_path / "artifact"))


def change_manifest(artifact: Path, **changes: object) -> None:
    path = artifact / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def some_windows(channels: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(channels).normal(size=(channels, 32)).astype(np.float32)


def test_the_shipped_network_loads_and_judges_between_zero_and_one() -> None:
    net = load_net(shipped())
    judged = net.judge(np.concatenate([some_windows(40) / 10, 3 * some_windows(40)]))
    assert net.name == shipped().name
    assert judged.shape == (80,)
    assert ((judged >= 0) & (judged <= 1)).all()
    assert np.ptp(judged) > 0.5


def test_a_channel_is_judged_the_same_alone_and_in_any_batch() -> None:
    net, windows = load_net(shipped()), some_windows(40)
    whole = net.judge(windows)
    assert net.judge(windows[7:8]) == whole[7:8]
    assert (net.judge(windows[::-1]) == whole[::-1]).all()
    assert net.judge(windows[:0]).shape == (0,)


def test_features_beyond_the_range_of_int8_saturate() -> None:
    net = load_net(shipped())
    assert (net.judge(np.full((1, 32), 1e9, np.float32)) == net.judge(np.full((1, 32), 1e6, np.float32))).all()


@pytest.mark.parametrize("fault", ["shift", "noise"])
def test_a_fault_in_one_channel_raises_the_score_of_the_device_and_names_the_channel(fault: str) -> None:
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(3000, 12)) + 3 * np.sin(np.arange(3000) / 40)[:, np.newaxis]
    rows[2900:, 5] += 25.0 if fault == "shift" else rng.normal(0, 30, 100)
    scorer = Scorer(load_net(shipped()))
    found = []
    for number, row in enumerate(rows):
        score = scorer.step({f"c{channel}": float(value) for channel, value in enumerate(row)}, number * 60.0)
        if score is not None:
            found.append(score)
    assert max(score.value for score in found[500:2900]) < 0.7
    peak = max(found[2900:2910], key=lambda score: score.value)
    assert peak.value > UNUSUAL
    assert peak.shares["c5"] > 0.7


def _lose_model(artifact: Path) -> None:
    (artifact / "model.tflite").unlink()


def _lose_manifest(artifact: Path) -> None:
    (artifact / "manifest.json").unlink()


def _spoil_model(artifact: Path) -> None:
    path = artifact / "model.tflite"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)


def _spoil_manifest(artifact: Path) -> None:
    (artifact / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "file", "reason"),
    [
        (_lose_model, "model.tflite", "No such file"),
        (_lose_manifest, "manifest.json", "No such file"),
        (_spoil_model, "model.tflite", "sha256 [0-9a-f]{64} is not the manifest's"),
        (_spoil_manifest, "manifest.json", "not JSON"),
        (lambda a: change_manifest(a, sha256="x"), "manifest.json", "sha256: String should match"),
        (lambda a: change_manifest(a, features=["deviation", "hour"]), "manifest.json", "deviation, hour version 1"),
        (lambda a: change_manifest(a, feature_version=2), "manifest.json", "this agent makes deviation version 1"),
    ],
)
def test_a_damaged_artifact_is_refused_in_one_line_with_file_reason_and_remedy(
    artifact: Path, damage: Callable[[Path], None], file: str, reason: str
) -> None:
    damage(artifact)
    with pytest.raises(ModelError, match=reason) as refused:
        load_net(artifact)
    message = str(refused.value)
    assert message.startswith(str(artifact / file))
    assert "\n" not in message
    assert "; " in message


def test_no_byte_reaches_the_interpreter_before_the_hash_is_checked(
    artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil_model(artifact)
    monkeypatch.setattr(model, "_INTERPRETER", "no_such_interpreter.interpreter")
    with pytest.raises(ModelError, match="sha256"):
        load_net(artifact)


def test_a_missing_interpreter_is_named_with_its_package(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_INTERPRETER", "no_such_interpreter.interpreter")
    with pytest.raises(ModelError, match=r"^no-such-interpreter: .*; pip install no-such-interpreter$"):
        load_net(artifact)


def test_bytes_that_are_no_network_are_refused_although_their_hash_is_right(artifact: Path) -> None:
    (artifact / "model.tflite").write_bytes(b"not a network at all")
    change_manifest(artifact, sha256=hashlib.sha256(b"not a network at all").hexdigest())
    with pytest.raises(ModelError, match="the interpreter refuses the network"):
        load_net(artifact)


def test_a_network_of_another_window_than_the_manifest_says_is_refused(artifact: Path) -> None:
    change_manifest(artifact, window=16)
    with pytest.raises(ModelError, match="doesn't take int8 windows of 16 rows"):
        load_net(artifact)
