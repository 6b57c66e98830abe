"""`python -m models persistence` and `reliability`: from a folder of telemetry to probabilities and tables."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from models.__main__ import main
from models.persistence.telemetry_ramps import channels, find_ramps

DOCUMENT = "before\n<!-- reliability -->\nold\n<!-- end of reliability -->\nafter\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two machines of four days with a daily rhythm."""
    (tmp_path / "smd").mkdir()
    for seed, name in enumerate(("one", "two")):
        rng, t = np.random.default_rng(seed), np.arange(4 * 1440) / 1440
        rows = np.stack([np.sin(2 * np.pi * t) + 0.3 * np.sin(2 * np.pi * rate * t) for rate in (3, 7)], axis=1)
        rows += rng.normal(0, 0.01, rows.shape)
        np.savez(tmp_path / "smd" / f"{name}.npz", train=rows[:3000], test=rows[3000:])
    return tmp_path


def write_ramps(data: Path, **changes: object) -> Path:
    rows, period_s = channels(data, "smd/one.npz")
    ramps = [asdict(ramp) for ramp in find_ramps(rows, period_s, "smd/one.npz", 30, np.random.default_rng(1))]
    ramps[0] |= changes
    path = data / "ramps.json"
    path.write_text(json.dumps({"ramps": ramps}))
    return path


def test_every_ramp_gets_a_probability_in_its_order(data: Path) -> None:
    ramps, out = write_ramps(data), data / "said.json"
    assert main(["persistence", "--data", str(data), "--ramps", str(ramps), "--out", str(out)]) == 0
    claimed = json.loads(out.read_text())
    assert len(claimed) == len(json.loads(ramps.read_text())["ramps"]) > 5
    assert all(0 <= one <= 1 for one in claimed)
    assert len(set(claimed)) > 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"file": "smd/gone.npz"}, "gone.npz: can't be read"),
        ({"channel": 99}, "ramp 0: rows .* of channel 99 are not in smd/one.npz"),
        ({"end": 10**7}, "ramp 0: rows .* are not in smd/one.npz"),
        ({"limit": float("inf")}, "ramp 0: limit inf must be finite"),
        ({"watched": "many"}, "ramp 0: .*many"),
    ],
)
def test_unusable_ramps_are_named_in_one_line(
    data: Path, changes: dict[str, object], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ramps = write_ramps(data, **changes)
    assert main(["persistence", "--data", str(data), "--ramps", str(ramps), "--out", str(data / "o.json")]) == 1
    assert re.search(reason, capsys.readouterr().err.splitlines()[-1])


def test_the_reliability_table_is_put_into_its_place(data: Path) -> None:
    document = data / "detection.md"
    document.write_text(DOCUMENT)
    options = ["--data", str(data), "--folds", "2", "--tries", "60", "--write", str(document)]
    assert main(["reliability", *options]) == 0
    text = document.read_text()
    assert "old" not in text
    assert all(name in text for name in ("rule: distance", "logistic regression", "network", "came true", "after"))
