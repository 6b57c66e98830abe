"""Telemetry files are read as documented, or refused in one line."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.datasets import DataError, load_fleets, load_machine, load_stream, load_streams


def write_machine(path: Path, **changes: Any) -> Path:
    arrays: dict[str, Any] = {"train": np.zeros((5, 2)), "test": np.ones((4, 2)), "label": np.array([0, 0, 1, 0])}
    arrays |= changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_machines_are_read_in_the_order_of_their_names_with_the_hash_of_their_file(tmp_path: Path) -> None:
    write_machine(tmp_path / "smd" / "b.npz")
    path = write_machine(tmp_path / "asd" / "a.npz")
    first, second = load_fleets(tmp_path)
    assert (first.name, first.period_s, second.name, second.period_s) == ("asd/a", 300.0, "smd/b", 60.0)
    assert first.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (first.train.shape, first.test.shape, first.label.tolist()) == ((5, 2), (4, 2), [False, False, True, False])


def test_a_file_may_give_its_own_period(tmp_path: Path) -> None:
    assert load_machine(write_machine(tmp_path / "mine" / "a.npz", period_s=np.array(10.0))).period_s == 10.0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"label": None}, "has no label"),
        ({"test": np.ones((4, 3))}, "same channels: train .5, 2., test .4, 3."),
        ({"train": np.zeros(5)}, "rows of the same channels"),
        ({"label": np.zeros(3)}, "label must be 0 or 1 for each row of test"),
        ({"label": np.array([0, 1, 2, 0])}, "label must be 0 or 1"),
        ({"train": np.full((5, 2), "x")}, "must be numbers"),
        ({"period_s": np.array(-1.0)}, "period_s must be one positive number"),
    ],
)
def test_a_wrong_machine_is_refused_in_one_line_that_names_the_file(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = write_machine(tmp_path / "unheard-of" / "a.npz", **changes)
    with pytest.raises(DataError, match=reason) as refused:
        load_machine(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_no_npz_and_a_folder_without_any_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no <fleet>/<machine>\.npz"):
        load_fleets(tmp_path)
    path = tmp_path / "a.npz"
    for content in (b"", b"PK\x03\x04 not really", b"timestamp,value"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not a readable npz file"):
            load_machine(path)
    np.save(path.with_suffix(".npy"), np.zeros(3))
    with pytest.raises(DataError, match="not a readable npz file"):
        load_machine(path.with_suffix(".npy"))


def test_a_stream_is_read_with_its_period(tmp_path: Path) -> None:
    path = tmp_path / "nab" / "real" / "one.csv"
    path.parent.mkdir(parents=True)
    path.write_text("timestamp,value\n2014-04-01 00:00:00,20.5\n2014-04-01 00:05:00,-1\n2014-04-01 00:10:00,3\n")
    (stream,) = load_streams(tmp_path)
    assert (stream.name, stream.period_s, stream.values.tolist()) == ("nab/real/one", 300.0, [20.5, -1.0, 3.0])
    path.write_text("timestamp,value\n2014-04-01 00:00:00,20.5\nyesterday,1\n")
    with pytest.raises(DataError, match=r"one\.csv: line 3 is not timestamp,value"):
        load_stream(path)
