"""`python -m models scenarios`: what it prints."""

from pathlib import Path

import pytest

from models.__main__ import main
from models.scenarios import evaluate


def test_a_line_for_a_family_goes_into_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "detection.md"
    document.write_text("before\n<!-- scenarios -->\n<!-- end of scenarios -->\nafter\n")
    arguments = ["scenarios", "--rule", "--family", "netdata-859", "--jobs", "1", "--write", str(document)]
    assert main(arguments) == 0
    assert "| netdata-859 | 0 | - |" in capsys.readouterr().out
    assert document.read_text().startswith(
        "before\n<!-- scenarios -->\nTrends without a network:\n\n| report | cases | the first |"
    )


def test_a_scenario_can_be_shown_as_staff_would_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios", "--rule", "--show", "netdata-9802"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("netdata-9802/1000, look-alike, 4 d 23 h\ntruth: rise 1 from 14 h to 14 h 20 min")


def test_a_missing_network_ends_with_one_line_and_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "shipped_network", tmp_path.joinpath)
    assert main(["scenarios", "--show", "boot"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"models: {tmp_path / 'persistence-2' / 'manifest.json'}: ")
    assert err.endswith(", or give --rule\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--family", "flood"], ["--seeds", "0"]])
def test_wrong_usage_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["scenarios", *arguments])
    assert left.value.code == 2
    assert capsys.readouterr().err
