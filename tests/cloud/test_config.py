"""Each mistake in the configuration gives one line: where it is, which key, its value and the remedy."""

import re
from pathlib import Path

import pytest

from cloud.cases.episodes import Rules
from cloud.config import (
    BrokerTable,
    Config,
    ConfigError,
    DataTable,
    Endpoint,
    IngestTable,
    WebTable,
    load,
    read_secret,
)

OLD = Path(__file__).parent / "configs" / "60e2039.toml"  # every key of that commit, before parked_max was renamed


def a_file(folder: Path, content: str) -> Path:
    path = folder / "cloud.toml"
    path.write_text(content)
    return path


def a_secret(folder: Path, content: str = "correct horse", mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(content + "\n")
    path.chmod(mode)
    return str(path)


def test_without_a_file_everything_listens_on_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    config = load(None, {})
    assert config == Config()
    assert (config.web.listen, config.broker.listen) == (("127.0.0.1", 8080), ("127.0.0.1", 1883))
    assert config.database_url == "sqlite+aiosqlite:////state/forewarn-cloud/cloud.db"
    assert config.rules == Rules()


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = a_file(tmp_path, '[web]\nlisten = "127.0.0.1:1"\n[rules]\nhold_down_s = 60\n[data]\ndir = "/var/lib/fw"\n')
    config = load(path, {"web.listen": "[::1]:9000", "broker.url": "mqtts://cloud@broker.example"})
    assert config.web.listen == Endpoint("::1", 9000)
    assert (config.rules.hold_down_s, config.rules.debounce_s) == (60, 5)
    assert config.data_dir == Path("/var/lib/fw")
    assert (config.broker.address, config.broker.username, config.broker.tls) == (
        ("broker.example", 8883),
        "cloud",
        True,
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[web]\nlisen = 1", "web.lisen = 1: unknown key; did you mean listen?"),
        ("[rules]\nhold_down = 1", "rules.hold_down = 1: unknown key; did you mean hold_down_s?"),
        (
            "[rules]\nzzz = 1",
            "rules.zzz = 1: unknown key; known here: critical_within_s, debounce_s, faults, high_within_s",
        ),
        (
            '[rules.faults."disk.filling"]\ndebounce = 1.0',
            "rules.faults.disk.filling.debounce = 1.0: unknown key; did you mean debounce_s?",
        ),
        ('[rules.faults."disk.filling"]\nopen_above = 2.0', "rules.faults.disk.filling.open_above = 2.0: Input should"),
        ("[rules]\nresolve_below = 0.5", "rules = {'resolve_below': 0.5}: resolve_below is above open_above; lower it"),
        ("webb = 1", "webb = 1: unknown key; did you mean web?"),
        ("web = 1", "web = 1: Input should be a valid dictionary or instance of WebTable"),
        ('[rules]\nhold_down_s = "5"', "rules.hold_down_s = '5': Input should be a valid number"),
        ("[rules]\nhold_down_s = inf", "rules.hold_down_s = inf: Input should be"),
        ("[rules]\ndebounce_s = -1", "rules.debounce_s = -1: Input should be greater than or equal to 0"),
        ("[data]\ntelemetry_retention_days = 0", "data.telemetry_retention_days = 0: Input should be greater"),
        ('[web]\nlisten = "8080"', "web.listen = '8080': write it as HOST:PORT"),
        ('[web]\nlisten = "a:99999"', "web.listen = 'a:99999': write it as HOST:PORT"),
        ('[web]\nlisten = "0.0.0.0:80"', "web.listen = '0.0.0.0:80': others could reach the console without TLS"),
        ('[broker]\nlisten = "10.0.0.1:1883"', "broker.listen = '10.0.0.1:1883': others could reach this"),
        ('[broker]\nurl = "http://x"', "broker.url = 'http://x': write it as mqtt://"),
        ('[broker]\nurl = "mqtt://x:port"', "broker.url = 'mqtt://x:port': Port could not be cast"),
        ('[broker]\nurl = "mqtts://u:secret@x"', "a password in a URL shows in process lists"),
        ('[broker]\nca_file = "/nowhere"', "broker.ca_file = '/nowhere': can't be used (No such file"),
        ('[broker]\nca_file = "/etc/hostname"', "broker.ca_file = '/etc/hostname': can't be used ("),
        (
            '[broker]\nurl = "mqtt://x"\npassword_file = "/nowhere"',
            "broker.password_file = '/nowhere': for which user?",
        ),
        (
            '[broker]\nurl = "mqtt://u@x"\npassword_file = "/nowhere"',
            "would send the password in clear text; use mqtts://",
        ),
        ('[web]\npassword_file = "/nowhere"', "/nowhere: can't be read (No such file or directory)"),
        ('[data]\ndatabase_url = "mysql://x"', "data.database_url = 'mysql://x': write it as postgresql+asyncpg://"),
        ('[data]\ndatabase_url = "postgresql+asyncpg://u:p@h/n"', "a password does not belong here"),
        ("[web", "is not TOML"),
    ],
)
def test_a_mistake_is_reported_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        load(a_file(tmp_path, content), {})
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(("/nowhere", str(tmp_path)))


def test_a_mistake_of_the_command_line_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^command line: web\.listen = 'x': write it as HOST:PORT"):
        load(a_file(tmp_path, ""), {"web.listen": "x"})
    with pytest.raises(ConfigError, match=r"can't be read \(No such file or directory\); name another with --config"):
        load(tmp_path / "missing.toml", {})


def test_listening_beyond_this_machine_is_a_decision(tmp_path: Path) -> None:
    path = a_file(tmp_path, '[web]\nlisten = "0.0.0.0:80"\ntrusted_proxies = ["10.0.0.5", "fd00::/8"]\n')
    web = load(path, {}).web
    assert web.listen.from_here == Endpoint("127.0.0.1", 80)
    assert web.needs_https
    with pytest.raises(ConfigError, match=r"others could reach the console without TLS; set web\.certificate_file"):
        load(OLD, {})
    assert load(None, {"web.listen": "localhost:80"}).web.listen.is_loopback


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    assert read_secret(a_secret(tmp_path)) == "correct horse"
    with pytest.raises(ConfigError, match="others can read this secret; do: chmod 600"):
        read_secret(a_secret(tmp_path, mode=0o640))
    with pytest.raises(ConfigError, match="is empty"):
        read_secret(a_secret(tmp_path, content=""))


def test_a_file_of_the_version_before_is_read_and_a_renamed_key_is_warned_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert load(OLD, {"web.listen": "127.0.0.1:8443"}) == Config(
        allow_remote=True,
        data=DataTable(
            dir="/var/lib/forewarn-cloud",
            database_url="postgresql+asyncpg://forewarn@db.example/forewarn",
            telemetry_retention_days=90,
            dead_letters_max=500,
        ),
        broker=BrokerTable(url="mqtts://cloud@broker.example:8884", listen=Endpoint("0.0.0.0", 1884)),
        ingest=IngestTable(waiting_mib=128, device_kib_s=512),
        web=WebTable(listen=Endpoint("127.0.0.1", 8443)),
        rules=Rules(
            critical_within_s=600,
            high_within_s=7200,
            warning_within_s=43200,
            debounce_s=10,
            hold_down_s=120,
            reopen_window_s=3600,
        ),
    )
    (warning,) = caplog.messages
    assert "data.parked_max is now called data.dead_letters_max" in warning


def test_a_key_under_its_old_and_its_new_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.parked_max = 5: unknown key"):
        load(a_file(tmp_path, "[data]\nparked_max = 5\ndead_letters_max = 6\n"), {})


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ('smtp_url = "smtp://mail.example.org"', "would send cases in clear text"),
        ('smtp_url = "smtps://me:secret@mail.example.org"', "a password does not belong here"),
        ('smtp_url = "mail.example.org"', "write it as smtp+starttls://"),
        ('to = ["support"]', "is no mail address"),
        ('office = "day"', "there is no such calendar; known: office"),
        ('password_file = "/x"', "for which user?"),
    ],
)
def test_a_table_of_mail_that_can_not_be_meant_is_refused(tmp_path: Path, table: str, error: str) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text(f'[calendars.office]\nzone = "Europe/Berlin"\n[notify]\n{table}\n')
    with pytest.raises(ConfigError, match=re.escape(error)):
        load(file, {})


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ('certificate_file = "/x"', "certificate_file and key_file belong together"),
        ('certificate_file = "/x"\nkey_file = "/y"', "can't be used with key_file (No such file or directory)"),
        ('trusted_proxies = ["proxy"]', "is no address or network"),
        ('trusted_proxies = ["0.0.0.0/0"]', "trusts everybody"),
        ("session_hours = 0", "web.session_hours = 0: Input should be greater than 0"),
        ('[web.oidc]\nissuer = "http://id.example"', "write it as https://HOST/PATH"),
        (
            '[web.oidc]\nissuer = "https://id.example"',
            "web.oidc.client_id = '': the issuer https://id.example needs it",
        ),
        (
            '[web.oidc]\nissuer = "https://id.example"\nclient_id = "a"\nclient_secret_file = "/s"',
            "web.oidc.roles = {}: nobody could log in",
        ),
        ('[web.oidc]\nroles = {staff = "boss"}', "web.oidc.roles.staff = 'boss': Input should be 'viewer'"),
        ("[web.oidc]\nlocal_login = false", "nobody could log in; set web.oidc.issuer"),
    ],
)
def test_a_console_that_can_not_be_meant_is_refused(tmp_path: Path, table: str, error: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(error)):
        load(a_file(tmp_path, f"[web]\n{table}\n"), {})
