"""`python -m models`: what it says when it can't."""

from pathlib import Path

import pytest

from models.__main__ import main


def test_missing_data_ends_with_one_line_and_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--data", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"models: {tmp_path}: no <fleet>/<machine>.npz in this folder\n"


def test_wrong_usage_ends_with_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["score", "--period-s", "0", "--out", ".", "a.npz"])
    assert left.value.code == 2
    assert "must be a positive number of seconds" in capsys.readouterr().err
