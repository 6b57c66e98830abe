"""Artifacts: loaded as shipped, or refused in one line with the remedy."""

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.artifacts.fleet import FLEET_FILE, MANIFEST_FILE, ModelError, load_fleet, shipped
from edge_agent.detection.relations.relations import RELATIONS


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped(), tmp_path / "artifact"))


def change(artifact: Path, **parts: object) -> None:
    manifest = json.loads((artifact / MANIFEST_FILE).read_text())
    (artifact / MANIFEST_FILE).write_text(json.dumps(manifest | parts))


def refill(artifact: Path, **parts: Any) -> None:
    """Put other arrays into the artifact, and the hash that belongs to them."""
    with np.load(artifact / FLEET_FILE) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    file = io.BytesIO()
    np.savez(file, **{name: array for name, array in (content | parts).items() if array is not None})
    (artifact / FLEET_FILE).write_bytes(file.getvalue())
    change(artifact, sha256=hashlib.sha256(file.getvalue()).hexdigest())


def refusal(artifact: Path) -> str:
    with pytest.raises(ModelError) as error:
        load_fleet(artifact)
    text = str(error.value)
    assert "\n" not in text
    assert str(artifact) in text
    return text


def test_the_shipped_artifact_is_intact_and_repeatable() -> None:
    assert load_fleet(shipped()).name == shipped().name
    assert json.loads((shipped() / MANIFEST_FILE).read_text())["repeatable"] is True


def test_a_changed_byte_is_refused_before_anything_is_parsed(artifact: Path) -> None:
    content = bytearray((artifact / FLEET_FILE).read_bytes())
    content[100] ^= 1
    (artifact / FLEET_FILE).write_bytes(content)
    assert "reinstall" in refusal(artifact)


@pytest.mark.parametrize("missing", [FLEET_FILE, MANIFEST_FILE])
def test_a_missing_file_is_named(artifact: Path, missing: str) -> None:
    (artifact / missing).unlink()
    assert missing in refusal(artifact)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"input_version": 99}, "version 99"),
        ({"relations": ["thermal.cooling"]}, "made for relations"),
        ({"name": "../x"}, "name"),
        ({"sha256": "0" * 64}, "sha256"),
    ],
)
def test_an_artifact_for_another_agent_is_refused(artifact: Path, parts: dict[str, object], complaint: str) -> None:
    change(artifact, **parts)
    assert complaint in refusal(artifact)


def test_a_manifest_that_is_no_json_is_refused(artifact: Path) -> None:
    (artifact / MANIFEST_FILE).write_text("{")
    assert "not JSON" in refusal(artifact)


@pytest.mark.parametrize(
    "parts",
    [
        {"mean": np.zeros((1, 2))},
        {"bar": np.zeros(len(RELATIONS))},
        {"variance": np.full(len(RELATIONS), np.nan)},
        {"covariance": None},
        {"centre": np.array(["a"] * len(RELATIONS))},
    ],
)
def test_arrays_of_a_wrong_shape_or_range_are_refused(artifact: Path, parts: dict[str, object]) -> None:
    refill(artifact, **parts)
    assert FLEET_FILE in refusal(artifact)
