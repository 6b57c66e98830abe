"""`edge-agent machine reset` and `edge-agent record`, and a machine whose network can't be used."""

from pathlib import Path

import pytest

from edge_agent.assembly import make_machines
from edge_agent.cli import main
from edge_agent.config import load
from edge_agent.machines.machine_resets import MachineResets

CONFIG = """
[device]
id = "pump-07"
[state]
dir = "{state}"
[services]
units = []
[[machines]]
name = "Feed pump"
channels = {{ flow = "pump.flow" }}
readings = "{readings}"
artifact = "{artifact}"
"""


def a_config(tmp_path: Path, artifact: str = "") -> Path:
    readings = tmp_path / "readings"
    readings.write_text("pump.flow 31.5\n")
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(state=tmp_path / "state", readings=readings, artifact=artifact))
    return path


def test_a_reset_waits_for_the_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machine", "reset", "Feed pump", "--config", str(a_config(tmp_path))]) == 0

    assert "Feed pump: learns a new healthy start" in capsys.readouterr().out
    assert MachineResets(tmp_path / "state").take(0.0) == ["Feed pump"]


def test_a_machine_that_is_not_configured_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machine", "reset", "fan", "--config", str(a_config(tmp_path))]) == 2

    assert capsys.readouterr().err == "edge-agent: no machine is named 'fan'; configured: Feed pump\n"


def test_a_recording_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.csv"

    assert main(["record", "pump.*", "--out", str(out), "--seconds", "1", "--config", str(a_config(tmp_path))]) == 0

    assert out.read_text().splitlines()[0] == "uptime_s;pump.flow"
    assert capsys.readouterr().out == f"{out}: 1 rows\n"
    assert main(["record", "pump.*", "--out", str(out), "--seconds", "1", "--config", str(a_config(tmp_path))]) == 2
    assert capsys.readouterr().err == f"edge-agent: {out}: exists; name another file\n"


def test_a_recording_in_a_missing_folder_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "none" / "pump.csv"
    options = ["--out", str(out), "--seconds", "1", "--config", str(a_config(tmp_path))]
    assert main(["record", "system.*", *options]) == 2
    reason = "No such file or directory; name a file in a folder that can be written"
    assert capsys.readouterr().err == f"edge-agent: {out}: {reason}\n"


def test_a_network_that_can_t_be_used_is_logged_and_the_machine_goes_on_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = load(a_config(tmp_path, artifact=str(tmp_path / "none")))

    machines = make_machines(config.machines)

    assert machines.series == {"pump.flow"}
    (message,) = caplog.messages
    assert message.startswith(f"machine Feed pump: {tmp_path}/none/manifest.json: No such file")
    assert message.endswith("it is evaluated by statistics only")
