"""How deviations grow with age is read from rows without labels."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.__main__ import main

PERIOD_S = 1800.0
ROWS = round(20 * 86_400 / PERIOD_S)


def write(folder: Path, fleet: str, train: npt.NDArray[np.float64]) -> None:
    (folder / fleet).mkdir(parents=True, exist_ok=True)
    test, label = train[:10], np.zeros(10, np.uint8)
    np.savez(folder / fleet / "m.npz", train=train, test=test, label=label, period_s=PERIOD_S)


def powers(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, float]]:
    assert main(["growth", "--data", str(folder)]) == 0
    found: dict[str, dict[str, float]] = json.loads(capsys.readouterr().out)
    return found


def test_what_is_always_the_same_does_not_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "a", np.random.default_rng(1).normal(size=(ROWS, 30)))
    found = powers(tmp_path, capsys)["a"]
    assert found["level"] == pytest.approx(0, abs=0.05)
    assert found["jump"] == pytest.approx(0, abs=0.03)


def test_what_wanders_grows_in_level_and_not_in_jump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "a", np.random.default_rng(1).normal(size=(ROWS, 30)).cumsum(axis=0))
    found = powers(tmp_path, capsys)["a"]
    assert found["level"] > 0.15
    assert found["jump"] == pytest.approx(0, abs=0.03)


def test_each_fleet_weighs_the_same_whatever_its_scale_offset_and_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    wandering = rng.normal(size=(ROWS, 5)).cumsum(axis=0)
    write(tmp_path, "a", np.hstack([wandering, np.ones((ROWS, 1))]))
    write(tmp_path, "b", 1024.0 * np.hstack([wandering] * 3) + 2.0**20)
    write(tmp_path, "c", rng.normal(size=(ROWS, 40)))
    found = powers(tmp_path, capsys)
    assert found["a"]["level"] == pytest.approx(found["b"]["level"], abs=1e-3)
    mean = sum(found[fleet]["level"] for fleet in "abc") / 3
    assert found["all"]["level"] == pytest.approx(mean, abs=2e-3)


def test_rows_of_less_than_nine_days_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "a", np.zeros((100, 2)))
    assert main(["growth", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"models: {tmp_path}: no machine has train rows of 9 days\n"
