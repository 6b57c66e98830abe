"""`python -m models machine`: alarms for every experiment, the bar from other groups, blind detectors beside them."""

from pathlib import Path

import numpy as np
import pytest

from models.__main__ import main
from models.machine.evaluate import FACTORS, best_factor
from models.machine.experiments import load_experiments
from tests.models.machine.recorded import write_experiment


def run(folder: Path, out: Path, *more: str) -> int:
    return main(["machine", "--train", str(folder), "--data", str(folder), "--out", str(out), *more])


def test_every_experiment_gets_alarms_and_the_figures_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for number in range(4):
        write_experiment(data, f"valve/{number}", seed=number)

    assert run(data, tmp_path / "out", "--folds", "2") == 0

    printed = capsys.readouterr()
    assert "4 experiments: F1 0." in printed.out
    assert "found 4/4" in printed.out
    assert "without any sensor: always on F1 0.67, rows 572-974 F1 " in printed.out
    assert "holding out group 2: valve/2, valve/3" in printed.err
    alarm = np.load(tmp_path / "out/valve/0.npz")["alarm"]
    assert alarm.shape == (700,)
    assert not alarm[:500].any()
    assert alarm[530:650].all()


def test_labels_of_the_evaluated_experiments_have_no_effect(tmp_path: Path) -> None:
    known, here = tmp_path / "known", tmp_path / "here"
    for number in range(2):
        write_experiment(known, f"valve/{number}", seed=number)
    path = write_experiment(here, "valve/7", seed=7)
    command = ["machine", "--train", str(known), "--data", str(here), "--out"]
    assert main([*command, str(tmp_path / "a")]) == 0
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join([lines[0], *(f"{line[:-8]};0.0;0.0" for line in lines[1:-1]), f"{lines[-1][:-8]};1.0;0.0"])
    )

    assert main([*command, str(tmp_path / "b")]) == 0

    first, second = (np.load(tmp_path / name / "valve/7.npz")["alarm"] for name in "ab")
    np.testing.assert_array_equal(first, second)


def test_an_alarm_depends_on_no_later_row(tmp_path: Path) -> None:
    known, whole, cut = (tmp_path / name for name in ("known", "whole", "cut"))
    for number in range(2):
        write_experiment(known, f"valve/{number}", seed=number)
    path = write_experiment(whole, "valve/7", seed=7)
    (cut / "valve").mkdir(parents=True)
    (cut / "valve/7.csv").write_text("\n".join(path.read_text().splitlines()[:601]) + "\n")

    for folder in (whole, cut):
        assert main(["machine", "--train", str(known), "--data", str(folder), "--out", str(folder / "out")]) == 0

    first, second = (np.load(folder / "out/valve/7.npz")["alarm"] for folder in (whole, cut))
    np.testing.assert_array_equal(first[:600], second)


def test_the_bar_is_the_highest_where_every_bar_gives_false_alarms(tmp_path: Path) -> None:
    write_experiment(tmp_path, "valve/0", seed=0)
    (one,) = load_experiments(tmp_path)
    noisy = np.where(np.arange(700) % 40 < 20, 100.0, 0.0)

    assert best_factor([one], {one.name: noisy}) == FACTORS[-1]


def test_a_missing_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "none", tmp_path / "out") == 1
    assert capsys.readouterr().err == f"models: {tmp_path}/none: no <group>/<experiment>.csv in this folder\n"
