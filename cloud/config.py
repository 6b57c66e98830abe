"""The configuration: an optional TOML file and the command line, read once, checked whole, then frozen.

What flows in: a file's name and what the command line says. What flows out: one Config, or ConfigError with one line
that names the source, the key, its value and the remedy.
"""

import difflib
import logging
import os
import ssl
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, Field, ValidationError, field_validator

from cloud.cases.absence import AbsenceRules
from cloud.cases.calendars import ALWAYS, Calendar, CalendarTable
from cloud.cases.episodes import Rules
from cloud.cases.pipeline import PipelineRules
from cloud.cases.service_levels import ServiceLevels
from cloud.console_settings import WebTable as WebTable
from cloud.console_settings import web_mistake
from cloud.endpoint import Endpoint as Endpoint
from cloud.endpoint import Listen, Table
from cloud.notify import NotifyTable

COMMAND_LINE = "command line"
DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}
RENAMED = {"data.parked_max": "data.dead_letters_max"}  # keys of the version before, read with a warning

log = logging.getLogger(__name__)


class ConfigError(ValueError):
    """One line for a person: source, key, value, remedy."""


class DataTable(Table):
    """What is kept, where and for how long."""

    dir: str = Field(
        default="",
        description="folder for the database. Empty: systemd's StateDirectory, else ~/.local/state/forewarn-cloud",
    )
    database_url: str = Field(
        default="",
        description="postgresql+asyncpg://USER@HOST/NAME, its password in ~/.pgpass. Empty: SQLite in data.dir",
    )
    telemetry_retention_days: int = Field(default=30, ge=1, le=3650, description="days; evidence stays")
    dead_letters_max: int = Field(
        default=1000, ge=1, le=100_000, description="dead letters kept: messages that could not be read or applied"
    )

    @field_validator("database_url")
    @classmethod
    def _without_password(cls, value: str) -> str:
        if value and not value.startswith(("postgresql+asyncpg://", "sqlite+aiosqlite:///")):
            raise ValueError("write it as postgresql+asyncpg://USER@HOST/NAME, or leave it empty for SQLite")
        if value and urlsplit(value).password:
            raise ValueError("a password does not belong here; put it into ~/.pgpass (chmod 600)")
        return value


class BrokerTable(Table):
    """Where devices and cloud meet."""

    url: str = Field(
        default="",
        description="mqtt://[USER@]HOST[:PORT], or mqtts:// for TLS, always verified. Empty: the embedded broker",
    )
    listen: Listen = Field(default=Endpoint("127.0.0.1", 1883), description="HOST:PORT of the embedded broker")
    ca_file: str = Field(default="", description="authority that signed the broker's certificate. Empty: the system's")
    password_file: str = Field(default="", description="file with the password for USER, mode 0600")

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value:
            return value
        parts = _split(value)
        if parts.password:
            raise ValueError(
                "a password in a URL shows in process lists; put it into a file and name broker.password_file"
            )
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path.strip("/"):
            raise ValueError("write it as mqtt://[USER@]HOST[:PORT] or mqtts://[USER@]HOST[:PORT]")
        return value

    @property
    def address(self) -> Endpoint:
        """Where the broker is, be it embedded or not."""
        parts = _split(self.url)
        return Endpoint(parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]) if self.url else self.listen

    @property
    def username(self) -> str | None:
        """The name in the URL."""
        return _split(self.url).username

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted and the broker's certificate verified."""
        return self.url.startswith("mqtts://")


class IngestTable(Table):
    """How much may come in."""

    waiting_mib: int = Field(default=64, ge=1, le=65_536, description="messages that may wait in RAM for the database")
    device_kib_s: int = Field(
        default=256, ge=1, le=1_048_576, description="what one device may send in the long run; the rest it sends again"
    )


class Config(Table):
    """Everything the cloud can be told. Tables and keys of the file are the fields here."""

    allow_remote: bool = Field(
        default=False, description="let the embedded broker listen beyond this machine although it has no TLS"
    )
    data: DataTable = DataTable()
    broker: BrokerTable = BrokerTable()
    ingest: IngestTable = IngestTable()
    web: WebTable = WebTable()
    rules: Rules = Rules()
    absence: AbsenceRules = AbsenceRules()
    pipeline: PipelineRules = PipelineRules()
    calendars: dict[str, CalendarTable] = Field(default={}, description="business calendars, as [calendars.NAME]")
    service_levels: ServiceLevels = ServiceLevels()
    notify: NotifyTable = NotifyTable()

    @property
    def data_dir(self) -> Path:
        """The folder for what must survive a restart."""
        if self.data.dir:
            return Path(self.data.dir).expanduser()
        if systemd := os.environ.get("STATE_DIRECTORY"):
            return Path(systemd.split(":")[0])
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "forewarn-cloud"

    def calendar(self, name: str) -> Calendar:
        """Return a calendar by its name; the empty name is that without any hours."""
        return self.calendars[name].calendar(name) if name else ALWAYS

    @property
    def database_url(self) -> str:
        """Where the database is."""
        return self.data.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'cloud.db'}"


def load(path: Path | None, options: Mapping[str, object]) -> Config:
    """Read the file if one is named; `options` on the command line, by dotted key, wins. Raises ConfigError."""
    tree = _with_present_names(_read_toml(path), path) if path else {}
    for key, value in options.items():
        _put(tree, key, value)
    sources = _Sources(str(path) if path else "defaults", frozenset(options))
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise _explained(error, sources) from None
    _check(config, sources)
    return config


def read_secret(path: str) -> str:
    """Return the content of a file that only its owner can read. Raises ConfigError."""
    try:
        if Path(path).stat().st_mode & 0o077:
            raise ConfigError(f"{path}: others can read this secret; do: chmod 600 {path}")
        secret = Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"{path}: can't be read ({error.strerror}); put the secret there or correct the path"
        ) from None
    if not secret:
        raise ConfigError(f"{path}: is empty; put the secret there")
    return secret


class _Sources(NamedTuple):
    """Who said what: the file, and the keys that the command line said."""

    file: str
    options: frozenset[str]

    def error(self, key: str, value: object, remedy: str) -> ConfigError:
        return ConfigError(f"{COMMAND_LINE if key in self.options else self.file}: {key} = {value!r}: {remedy}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}); name another with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def _with_present_names(tree: dict[str, Any], path: Path) -> dict[str, Any]:
    """Move the values of renamed keys to their present names; a key given under both names stays, and is refused."""
    for old, new in RENAMED.items():
        (table, old_name), (_, new_name) = old.split("."), new.split(".")
        keys = tree.get(table)
        if isinstance(keys, dict) and old_name in keys and new_name not in keys:
            log.warning("%s: %s is now called %s; the old name will be refused by the next version", path, old, new)
            keys[new_name] = keys.pop(old_name)
    return tree


def _put(tree: dict[str, Any], key: str, value: object) -> None:
    table, _, name = key.rpartition(".")
    place = tree.setdefault(table, {}) if table else tree
    if isinstance(place, dict):  # if not, the check of the whole says what is wrong with the table
        place[name] = value


def _check(config: Config, sources: _Sources) -> None:
    """What no key can know by itself."""
    if not config.broker.url and not config.broker.listen.is_loopback and not config.allow_remote:
        remedy = "others could reach this without TLS; set --allow-remote (allow_remote = true) to allow it"
        raise sources.error("broker.listen", str(config.broker.listen), remedy)
    if mistake := web_mistake(config.web):
        raise sources.error(*mistake)
    broker = config.broker
    if broker.ca_file:
        _check_authority("broker.ca_file", broker.ca_file, sources)
    if broker.password_file and not broker.username:
        raise sources.error("broker.password_file", broker.password_file, "for which user? name the user in broker.url")
    if broker.password_file and not broker.tls and not broker.address.is_loopback:
        raise sources.error("broker.url", broker.url, "would send the password in clear text; use mqtts://")
    _check_notify(config, sources)
    for secret in (broker.password_file, *config.web.secrets, config.notify.password_file):
        if secret:
            read_secret(secret)


def _check_notify(config: Config, sources: _Sources) -> None:
    notify = config.notify
    if notify.ca_file:
        _check_authority("notify.ca_file", notify.ca_file, sources)
    if notify.password_file and not notify.user:
        raise sources.error("notify.password_file", notify.password_file, "for which user? name it in notify.smtp_url")
    levels = {f"service_levels.{name}.calendar": goals.calendar for name, goals in config.service_levels}
    for key, name in {"notify.office": notify.office, **levels}.items():
        if name and name not in config.calendars:
            remedy = f"there is no such calendar; known: {', '.join(config.calendars) or 'none'}"
            raise sources.error(key, name, remedy)


def _check_authority(key: str, ca_file: str, sources: _Sources) -> None:
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # the file, or what stands in it
        remedy = f"can't be used ({error.strerror or error.args[-1]}); name a file with certificates in PEM"
        raise sources.error(key, ca_file, remedy) from None


def _explained(error: ValidationError, sources: _Sources) -> ConfigError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_beside(first["loc"])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        remedy = f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known here: {', '.join(known)}"
    else:
        remedy = first["msg"].removeprefix("Value error, ")
    return sources.error(key, first["input"], remedy)


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys that would have been understood where an unknown one stands."""
    table: type[BaseModel] = Config
    for part in location[:-1]:
        field = table.model_fields.get(str(part))
        if field is None:
            continue  # a name of ours in a table of tables, such as a fault
        inner = next(one for one in (*get_args(field.annotation), field.annotation) if _is_table(one))
        assert isinstance(inner, type)
        table = inner
    return sorted(table.model_fields)


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    _ = parts.port  # raises ValueError if it is no number
    return parts
