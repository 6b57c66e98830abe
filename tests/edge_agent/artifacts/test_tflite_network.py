"""TFLite networks: run as their artifact says, or refused in one line with file, reason and remedy.

sum-1 gives the sum and the difference of two features; `python -m tests.edge_agent.artifacts.make_sum_network` made it.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.artifacts import tflite_network
from edge_agent.artifacts.tflite_network import MANIFEST_FILE, MODEL_FILE, ArtifactError, load_network

SUM = Path(__file__).parent / "sum-1"
NETWORK = load_network(SUM)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SUM, tmp_path / "sum-1"))


def change(artifact: Path, **parts: object) -> None:
    manifest = json.loads((artifact / MANIFEST_FILE).read_text())
    (artifact / MANIFEST_FILE).write_text(json.dumps(manifest | parts))


def put_model(artifact: Path, content: bytes) -> None:
    (artifact / MODEL_FILE).write_bytes(content)
    change(artifact, sha256=hashlib.sha256(content).hexdigest())


def test_features_and_outputs_are_plain_numbers() -> None:
    outputs = load_network(SUM, ("one", "other")).run(np.array([[1.0, 0.5], [-2.0, 1.0]]))
    assert outputs == pytest.approx(np.array([[1.5, 0.5], [-1.0, -3.0]]), abs=0.15)


def test_a_row_gives_the_same_alone_and_in_any_batch() -> None:
    values = np.random.default_rng(1).normal(size=(40, 2))
    whole = NETWORK.run(values)
    assert (NETWORK.run(values[7:8]) == whole[7]).all()
    assert (NETWORK.run(values[::-1])[::-1] == whole).all()
    assert NETWORK.run(values[:0]).shape == (0, 2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2))
def test_any_finite_features_give_finite_outputs(row: list[float]) -> None:
    assert np.isfinite(NETWORK.run(np.array([row]))).all()


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"sha256": "0" * 64}, "is not the manifest's"),
        ({"name": "../x"}, "name: String should match"),
        ({"features": []}, "features: Tuple should have at least 1 item"),
        ({"input_shape": [-1, 3]}, r"must be \[-1, 2\]"),
        ({"scaling": {"mean": [0.0, 0.0], "scale": [1.0, 0.0]}}, "positive scales"),
        ({"scaling": {"mean": [0.0], "scale": [1.0]}}, "2 means"),
        ({"features": ["one", "another"]}, "feature 1 is 'another', this agent computes 'other'"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(artifact: Path, parts: dict[str, object], complaint: str) -> None:
    change(artifact, **parts)
    assert_refused(artifact, complaint)


def _truncate(artifact: Path) -> None:
    (artifact / MODEL_FILE).write_bytes((artifact / MODEL_FILE).read_bytes()[:500])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda artifact: (artifact / MODEL_FILE).unlink(), "No such file"),
        (lambda artifact: (artifact / MANIFEST_FILE).unlink(), "No such file"),
        (lambda artifact: (artifact / MANIFEST_FILE).write_text("{"), "not JSON"),
        (lambda artifact: (artifact / MANIFEST_FILE).write_bytes(b"\xff\x00"), "not JSON"),
        (lambda artifact: (artifact / MANIFEST_FILE).write_text("[]"), "the whole"),
        (lambda artifact: (artifact / MODEL_FILE).write_bytes(b"\0" * (2 << 20)), "larger than"),
        (_truncate, "is not the manifest's"),
    ],
)
def test_a_damaged_artifact_is_refused(artifact: Path, damage: Callable[[Path], None], complaint: str) -> None:
    damage(artifact)
    assert_refused(artifact, complaint)


def assert_refused(artifact: Path, complaint: str) -> None:
    with pytest.raises(ArtifactError, match=complaint) as refused:
        load_network(artifact, ("one", "other"))
    assert str(refused.value).startswith(str(artifact))
    assert "\n" not in str(refused.value)
    assert "; " in str(refused.value)


def test_the_interpreter_is_made_at_the_first_use_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tflite_network, "_INTERPRETER", "no_such_interpreter.interpreter")
    network = load_network(SUM)
    with pytest.raises(ArtifactError, match=r"^no-such-interpreter: .*; pip install no-such-interpreter$"):
        network.check()


def test_what_no_interpreter_takes_gives_nan_and_one_line_in_the_log(
    artifact: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_model(artifact, b"no network at all")
    network = load_network(artifact)
    with caplog.at_level(logging.WARNING):
        outputs = [network.run(np.zeros((3, 2))) for _ in range(2)]
    assert all(one.shape == (3, 2) and np.isnan(one).all() for one in outputs)
    assert [record.getMessage() for record in caplog.records] == [
        f"{artifact / MODEL_FILE}: the interpreter refuses it: Model provided has model identifier 'etwo', should be "
        "'TFL3'; put back the artifact folder as it was made, or reinstall forewarn; the agent goes on without this "
        "network"
    ]


def test_a_network_of_another_shape_than_its_manifest_is_refused(artifact: Path) -> None:
    change(artifact, features=["one"], input_shape=[-1, 1], scaling={"mean": [0.0], "scale": [1.0]})
    with pytest.raises(ArtifactError, match=r"its input is int8 of shape \(-1, 2\), the manifest says"):
        load_network(artifact).check()


def test_a_manifest_nested_too_deeply_is_refused(artifact: Path) -> None:
    (artifact / MANIFEST_FILE).write_text("[" * 100_000)

    with pytest.raises(ArtifactError, match="not JSON"):
        load_network(artifact)


def test_a_network_that_fails_when_it_runs_is_refused_at_the_first_use(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("node 3 failed to invoke")

    monkeypatch.setattr(tflite_network.TfliteNetwork, "_invoke", fail)

    assert np.isnan(load_network(artifact).run(np.zeros((1, 2)))).all()
    assert "can't be run: node 3 failed to invoke" in caplog.text
