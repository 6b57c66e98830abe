"""The configuration: each mistake is one line with file, key, value and remedy, and exit code 2."""

from pathlib import Path

import pytest

from edge_agent.cli import main
from edge_agent.config import AgentConfig, ConfigError, load, machine_device_id

CONFIGS = Path(__file__).parent / "configs"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[sampling]\nperiods_s = 1\n", "sampling.periods_s = 1: unknown key; did you mean 'period_s'?"),
        ("[sampling]\nperiod_s = 'fast'\n", "sampling.period_s = 'fast': Input should be a valid number"),
        ("[sampling]\nperiod_s = 0\n", "sampling.period_s = 0: Input should be greater than or equal to 0.1"),
        (
            "[detection]\nfalse_cases_per_week = 0\n",
            "detection.false_cases_per_week = 0: Input should be greater than 0",
        ),
        ("[device]\nid = 'pump 07'\n", "device.id = 'pump 07': device id 'pump 07' must be 1 to 64 of"),
        ("[mqtt]\nurl = 'http://x'\n", "mqtt.url = 'http://x': must be mqtt://HOST"),
        ("[mqtt]\nurl = 'mqtts://x'\nca_file = '/nowhere/ca.pem'\n", "mqtt.ca_file = '/nowhere/ca.pem': no such file"),
        ("[colour]\nred = 1\n", "colour = {'red': 1}: unknown key; known here: detection, device"),
        ("[device\n", "not TOML"),
        ("[[machines]]\nname = 'pump'\n", "machines.0.channels = {'name': 'pump'}: Field required"),
        (
            "[[machines]]\nname = 'pump'\nchanels = {}\nchannels = {flow = 'f'}\n",
            "machines.0.chanels = {}: unknown key; did you mean 'channels'?",
        ),
        (
            "[[machines]]\nname = 'pump'\nchannels = {flow = 'f'}\nstart_s = 400\n",
            "machines.0.start_s = 400: Input should be greater than or equal to 2000",
        ),
        (
            "[[machines]]\nname = 'pump'\nchannels = {flow = 'f', head = 'f'}\n",
            "machines.0.channels = {'flow': 'f', 'head': 'f'}: must name each series once",
        ),
        (
            "[[machines]]\nname = 'a'\nchannels = {x = 'f'}\n[[machines]]\nname = 'a'\nchannels = {x = 'g'}\n",
            "machines = [{'name': 'a', 'channels': {'x': 'f'}}, {'name': 'a', 'channels': {'x': 'g'}}]: two machines "
            "are named 'a'; rename one",
        ),
        (
            "[sampling]\nperiod_s = 10\n[[machines]]\nname = 'a'\nchannels = {x = 'f'}\n",
            "machines = [{'name': 'a', 'channels': {'x': 'f'}}]: sampling.period_s = 10: machines need a sample every "
            "second; set 1",
        ),
        ("[telemetry]\nprofile = 'ful'\n", "telemetry.profile = 'ful': Input should be 'findings-only', 'frugal' or"),
        ("[telemetry]\npublish_every_min = 7\n", "telemetry.publish_every_min = 7: must be a multiple of 5 for frugal"),
        (
            "[telemetry]\nprofile = 'full'\npublish_every_min = 30\n",
            "telemetry.publish_every_min = 30: must be at most 15 for full",
        ),
    ],
)
def test_a_mistake_is_one_line_with_file_key_value_and_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    path = write(tmp_path, text)
    assert main(["check-config", "--config", str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert f"{path}: {complaint}" in error
    assert "\n" not in error


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "none.toml")


def test_a_model_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    detection = f"[detection]\nmodel_dir = '{tmp_path / 'none'}'\n[state]\ndir = '{state}'\n"
    assert main(["run", "--config", str(write(tmp_path, f"[device]\nid = 'pump-07'\n{detection}"))]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert not state.exists()


def test_a_key_without_its_certificate_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "device.key"
    key.touch(0o600)
    with pytest.raises(ConfigError, match=r"mqtt.cert_file.*set both or none"):
        load(write(tmp_path, f"[mqtt]\nurl = 'mqtts://broker'\nkey_file = '{key}'\n"))


def test_certificates_are_never_sent_in_clear_text(tmp_path: Path) -> None:
    pem = tmp_path / "device.pem"
    pem.touch(0o600)
    with pytest.raises(ConfigError, match="certificates need mqtts"):
        load(write(tmp_path, f"[mqtt]\nurl = 'mqtt://broker'\nkey_file = '{pem}'\ncert_file = '{pem}'\n"))


@pytest.mark.parametrize(("mode", "complaint"), [(0o644, "chmod 600"), (0o600, "must be PEM")])
def test_a_key_that_others_can_read_or_that_is_none_is_refused_before_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: int, complaint: str
) -> None:
    key = tmp_path / "device.key"
    key.write_text("not a key")
    key.chmod(mode)
    text = f"[device]\nid = 'pump-07'\n[mqtt]\nurl = 'mqtts://broker'\nkey_file = '{key}'\ncert_file = '{key}'\n"
    assert main(["check-config", "--config", str(write(tmp_path, text))]) == 2
    assert complaint in capsys.readouterr().err


def test_a_password_is_not_sent_in_clear_text_beyond_this_machine(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.touch(0o600)
    with pytest.raises(ConfigError, match="not sent in clear text"):
        load(write(tmp_path, f"[mqtt]\nurl = 'mqtt://broker'\npassword_file = '{secret}'\n"))


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    secret.chmod(0o644)
    path = write(tmp_path, f"[device]\nid = 'pump-07'\n[mqtt]\nusername = 'pump-07'\npassword_file = '{secret}'\n")
    assert main(["check-config", "--config", str(path)]) == 2
    assert f"chmod 600 {secret}" in capsys.readouterr().err


def test_the_port_follows_the_scheme() -> None:
    assert AgentConfig.model_validate({"mqtt": {"url": "mqtts://broker"}}).mqtt.url == "mqtts://broker:8883"
    assert AgentConfig().mqtt.url == "mqtt://localhost:1883"


def test_a_machines_own_id_stays_the_same_and_does_not_show_the_machine_id() -> None:
    if not Path("/etc/machine-id").exists():
        pytest.skip("no /etc/machine-id here")
    device = machine_device_id()
    assert device == machine_device_id()
    assert Path("/etc/machine-id").read_text().strip() not in device


def test_a_file_with_every_key_of_the_version_before_is_read_with_the_same_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ca.pem", "pump-07.pem", "pump-07.key", "password"):
        (tmp_path / name).touch(mode=0o600)
    monkeypatch.chdir(tmp_path)
    config = load(CONFIGS / "0.1.0.toml").model_dump()
    assert config.pop("machines") == ()  # newer than that version
    assert config == {
        "device": {"id": "pump-07", "firmware": "image 2026.3"},
        "mqtt": {
            "url": "mqtts://broker.example:8884",
            "ca_file": "ca.pem",
            "cert_file": "pump-07.pem",
            "key_file": "pump-07.key",
            "username": "pump",
            "password_file": "password",
            "keepalive_s": 60,
        },
        "sampling": {"period_s": 2.0, "exclude_mounts": ("/mnt/usb",)},
        "services": {"units": ("nginx.service", "kiosk*.service"), "exclude": ("kiosk-debug.service",)},
        "detection": {
            "horizon_h": 48.0,
            "false_cases_per_week": 0.23,
            "anomalies_open_cases": True,
            "model": False,
            "model_dir": "models",
        },
        "evidence": {"before_s": 300.0, "after_s": 30.0},
        "state": {"dir": "state", "budget_mib": 50, "headroom_mib": 5, "flush_every_min": 30},
        "telemetry": {"profile": "full", "publish_every_min": 10},
        "limits": {"cpu": 0.2, "memory_mib": 96.0, "sent_kb_per_day": 5000.0, "written_mib_per_day": 25.0},
    }
