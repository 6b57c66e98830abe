"""The command line says what it can do, checks without changing anything, and fails with one line."""

from pathlib import Path

import pytest

from cloud import __version__
from cloud.cli import main


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"support-cloud {__version__}\n"


def test_check_config_prints_the_effective_settings_and_creates_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "--data", str(tmp_path / "data"), "--broker", "mqtts://a.example"]) == 0
    assert capsys.readouterr().out == (
        f"the configuration is good: data in {tmp_path}/data, broker mqtts://a.example, console on 127.0.0.1:8080\n"
    )
    assert not (tmp_path / "data").exists()


def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--web", "0.0.0.0:8080"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "support-cloud: command line: web.listen = '0.0.0.0:8080': others could reach this without TLS"
    )
    assert main(["check-config", "--web", "0.0.0.0:8080", "--allow-remote"]) == 0


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["check-config", "--help"], ["version", "--help"]]
)
def test_every_command_has_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    assert "usage: support-cloud" in capsys.readouterr().out


def test_no_command_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
