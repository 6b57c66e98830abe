"""Experiments: read in the order of time, without temperatures and labels; a wrong file is named with the remedy."""

from pathlib import Path

import pytest

from models.datasets import DataError
from models.machine.experiments import folds_of, labelled, load_experiment, load_experiments
from tests.models.machine.recorded import HEAD, write_experiment


def test_temperatures_and_labels_are_no_channels(tmp_path: Path) -> None:
    one = load_experiment(write_experiment(tmp_path, "valve/0", seed=0), tmp_path)

    assert (one.name, one.channels, one.rows.shape) == ("valve/0", ("Flow", "Pressure"), (700, 2))
    assert one.labels is not None
    assert one.labels.sum() == 150


def test_experiments_come_in_the_order_of_time_and_neighbours_are_held_out_together(tmp_path: Path) -> None:
    for number, day in enumerate((4, 1, 3, 2)):
        write_experiment(tmp_path, f"valve/{number}", seed=number, day=day)
    write_experiment(tmp_path, "healthy/0", seed=9, day=5, labelled=False)

    experiments = load_experiments(tmp_path)

    assert [one.name for one in experiments] == ["valve/1", "valve/3", "valve/2", "valve/0", "healthy/0"]
    assert [one.name for one in labelled(experiments)] == ["valve/1", "valve/3", "valve/2", "valve/0"]
    folds = folds_of(labelled(experiments), 2)
    assert [[one.name for one in fold] for fold in folds] == [["valve/1", "valve/3"], ["valve/2", "valve/0"]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "needs a head line"),
        (HEAD + "\n", "needs a head line"),
        (f"{HEAD}\n1;2;3\n", "line 2 has 3 fields for 6 columns; delete it"),
        (f"{HEAD}\n1;2;x;4;0;0\n", "every field must be a number"),
        (f"{HEAD}\n1;nan;3;4;0;0\n", "not finite; delete these lines"),
    ],
)
def test_a_wrong_file_is_named_with_the_remedy(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "a" / "0.csv"
    path.parent.mkdir()
    path.write_text(text)

    with pytest.raises(DataError, match=complaint) as raised:
        load_experiments(tmp_path)

    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("folds", [1, 5])
def test_folds_must_fit(tmp_path: Path, folds: int) -> None:
    for number in range(3):
        write_experiment(tmp_path, f"valve/{number}", seed=number)

    with pytest.raises(DataError, match=f"--folds {folds}: must be from 2 to the 3 experiments"):
        folds_of(load_experiments(tmp_path), folds)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in this folder"):
        load_experiments(tmp_path)
