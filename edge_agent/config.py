"""The agent's configuration: one TOML file, read once, checked whole. A mistake names file, key, value and remedy."""

import difflib
import hashlib
import os
import ssl
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from edge_agent.machines.machine_config import MachineTable, check_machine_names
from edge_agent.protocol.topics import check_device_id
from edge_agent.telemetry_batches import AGGREGATE_MIN, FULL_MAX_MIN

DEFAULT_PATH = Path("/etc/edge-agent/agent.toml")
_APP_ID = b"\x8a\x1f\x5c\x0e\x92\x4d\x47\x6b\xb3\x0d\x5e\x66\x21\x77\xc4\x19"  # fixed, so a machine keeps its id


class ConfigError(ValueError):
    """One line for a person: file, key, value, remedy."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Device(_Table):
    """Identity of this device."""

    id: str = Field(
        default="",
        description="1 to 64 of A-Z a-z 0-9 _ -, equal to the certificate's CN. "
        "Empty: made from /etc/machine-id, which itself is never sent",
    )
    firmware: str = Field(default="", max_length=128, description="firmware or image version, shown to support staff")

    @field_validator("id")
    @classmethod
    def _valid(cls, value: str) -> str:
        return check_device_id(value) if value else value


class Mqtt(_Table):
    """Address of the broker, and the credentials of the device."""

    url: str = Field(
        default="mqtt://localhost:1883",
        description="mqtt://HOST[:PORT], or mqtts://HOST[:PORT] for TLS. There is no fallback from TLS to clear text",
    )
    ca_file: str = Field(
        default="",
        description="certificate authority that signed the broker's certificate. Empty: the system's",
    )
    cert_file: str = Field(default="", description="the device's certificate")
    key_file: str = Field(default="", description="the device's private key, mode 0600 or 0400")
    username: str = Field(default="", description="for brokers with passwords instead of certificates")
    password_file: str = Field(default="", description="file that holds the password, mode 0600 or 0400")
    keepalive_s: int = Field(
        default=120, ge=5, le=3600, description="MQTT keepalive in seconds; half of it costs 22 kB more a day"
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError("must be mqtt://HOST[:PORT] or mqtts://HOST[:PORT]")
        return value if parts.port else f"{parts.scheme}://{parts.netloc}:{8883 if parts.scheme == 'mqtts' else 1883}"


class Sampling(_Table):
    """How often the device is read."""

    period_s: Annotated[float, Field(ge=0.1, le=60)] = Field(default=1.0, description="seconds between samples")
    exclude_mounts: tuple[str, ...] = Field(default=(), strict=False, description="mount points that are not monitored")


class Services(_Table):
    """Monitoring of systemd services. Only the names of services that fail or are restarted are sent."""

    units: tuple[str, ...] = Field(
        default=("*.service",),
        strict=False,
        description="patterns of the units that are monitored; empty disables the collector. Names of units that fail "
        "or are restarted by systemd are sent, without the instance of a template. Names of other kinds of units "
        "contain paths and ids",
    )
    exclude: tuple[str, ...] = Field(default=(), strict=False, description="patterns of units that are not monitored")


class Detection(_Table):
    """Detection on the device."""

    horizon_h: Annotated[float, Field(gt=0, le=24 * 60)] = Field(
        default=72.0,
        description="a trend that reaches its limit within these hours raises a warning; up to 30 days ahead an info",
    )
    false_cases_per_week: Annotated[float, Field(gt=0, le=100)] = Field(
        default=1.0,
        description="false cases a week that the anomaly score may raise on this device; the relations between "
        "metrics together may raise as many again. 0.23 is one a month",
    )
    anomalies_open_cases: bool = Field(
        default=False,
        description="anomalies, and temperatures that the load does not explain, are warnings, which open a case. "
        "Otherwise they are infos",
    )
    model: bool = Field(default=True, description="detect anomalies and violated relations, beside rules and trends")
    model_dir: str = Field(
        default="", description="folder with fleet.npz and manifest.json. Empty: the one installed with the agent"
    )


class EvidenceTable(_Table):
    """Readings that are recorded when a finding opens."""

    before_s: Annotated[float, Field(ge=60, le=3600)] = Field(
        default=600.0, description="seconds at full rate before the finding"
    )
    after_s: Annotated[float, Field(ge=5, le=600)] = Field(default=60.0, description="seconds at full rate after it")


class State(_Table):
    """Data that outlives a restart."""

    dir: str = Field(
        default="",
        description="folder for the outbox. Empty: systemd's StateDirectory, else ~/.local/state/edge-agent",
    )
    budget_mib: Annotated[int, Field(ge=1, le=1 << 20)] = Field(
        default=100,
        description="MiB that pending records may take; above it the oldest telemetry is dropped first, findings last",
    )
    headroom_mib: Annotated[int, Field(ge=0, le=1 << 20)] = Field(
        default=10,
        description="MiB of the file system to leave free; with less free, the outbox is limited to 1 MiB",
    )
    flush_every_min: Annotated[int, Field(ge=1, le=1440)] = Field(
        default=15,
        description="minutes of unacknowledged telemetry that a power cut may lose; fewer wear the SD card more",
    )


class Telemetry(_Table):
    """Telemetry: readings sent without a finding."""

    profile: Literal["findings-only", "frugal", "full"] = Field(
        default="frugal",
        description="findings-only: none; frugal: mean, minimum and maximum of each five minutes; full: every reading",
    )
    publish_every_min: Annotated[int, Field(ge=0, le=1440)] = Field(
        default=0,
        description="minutes in one batch, which a power cut may lose. 0: 60 for frugal, 1 for full (at most 15)",
    )

    @field_validator("publish_every_min")
    @classmethod
    def _fits_the_profile(cls, value: int, info: ValidationInfo) -> int:
        profile = info.data.get("profile")
        if profile == "frugal" and value % AGGREGATE_MIN:
            raise ValueError(f"must be a multiple of {AGGREGATE_MIN} for frugal")
        if profile == "full" and value > FULL_MAX_MIN:
            raise ValueError(f"must be at most {FULL_MAX_MIN} for full")
        return value


class LimitsTable(_Table):
    """Budgets of the agent. Above them it samples less often, then sends aggregates less often, then findings only."""

    cpu: Annotated[float, Field(ge=0, le=64)] = Field(
        default=0.1, description="share of one core, mean of 10 min; 0 sets no limit, here and below"
    )
    memory_mib: Annotated[float, Field(ge=0)] = Field(default=128, description="MiB of memory, proportional set size")
    sent_kb_per_day: Annotated[float, Field(ge=0)] = Field(
        default=10_000, description="kB sent in 24 h, TLS included; a backlog counts"
    )
    written_mib_per_day: Annotated[float, Field(ge=0)] = Field(default=50, description="MiB written in 24 h")


class AgentConfig(_Table):
    """The whole configuration. The fields are the tables and keys of agent.toml."""

    device: Device = Device()
    mqtt: Mqtt = Mqtt()
    sampling: Sampling = Sampling()
    services: Services = Services()
    detection: Detection = Detection()
    machines: Annotated[tuple[MachineTable, ...], Field(strict=False)] = ()
    evidence: EvidenceTable = EvidenceTable()
    state: State = State()
    telemetry: Telemetry = Telemetry()
    limits: LimitsTable = LimitsTable()

    @field_validator("machines")
    @classmethod
    def _no_name_twice(cls, value: tuple[MachineTable, ...]) -> tuple[MachineTable, ...]:
        check_machine_names([machine.name for machine in value])
        return value

    @field_validator("machines")
    @classmethod
    def _sampled_every_second(cls, value: tuple[MachineTable, ...], info: ValidationInfo) -> tuple[MachineTable, ...]:
        sampling = info.data.get("sampling")
        if value and isinstance(sampling, Sampling) and sampling.period_s > 1.0:
            raise ValueError(f"sampling.period_s = {sampling.period_s:g}: machines need a sample every second; set 1")
        return value

    @property
    def device_id(self) -> str:
        """The configured id, or one that this machine keeps."""
        return self.device.id or machine_device_id()

    @property
    def state_dir(self) -> Path:
        """The folder for data that outlives a restart."""
        if self.state.dir:
            return Path(self.state.dir)
        if systemd := os.environ.get("STATE_DIRECTORY"):
            return Path(systemd.split(":")[0])
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "edge-agent"


def load(path: Path | None) -> AgentConfig:
    """Read and check a file; None is the default file, or the defaults where there is none. Raises ConfigError."""
    if path is None and not DEFAULT_PATH.exists():
        return AgentConfig()
    path = path or DEFAULT_PATH
    try:
        config = AgentConfig.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}); name another with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from None
    _check_files(path, config.mqtt)
    return config


def read_secret(path: str) -> str:
    """Return the content of a file that only its owner can read. Raises ConfigError."""
    try:
        if Path(path).stat().st_mode & 0o077:
            raise ConfigError(f"{path}: others can read this secret; do: chmod 600 {path}")
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror})") from None


def machine_device_id() -> str:
    """Derive an id from /etc/machine-id as machine-id(5) requires: a keyed hash, as the id itself is confidential."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    if not machine:
        raise ConfigError("device.id: empty, and /etc/machine-id is missing; set device.id in the configuration")
    return "fw-" + hashlib.blake2b(_APP_ID, key=machine.encode(), digest_size=8).hexdigest()


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_beside(first["loc"])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
        return f"{key} = {first['input']!r}: unknown key; {remedy}"
    return f"{key} = {first['input']!r}: {first['msg'].removeprefix('Value error, ')}"


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    table: type[BaseModel] = AgentConfig
    for part in location[:-1]:
        if isinstance(part, int):  # the number of a [[machines]]
            table = MachineTable
            continue
        field = table.model_fields.get(part)
        if field is not None and part == "machines":
            continue
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        table = field.annotation
    return sorted(table.model_fields)


def tls_context(mqtt: Mqtt) -> ssl.SSLContext | None:
    """Return the TLS context: always verified, with the device's certificate if there is one. None for mqtt://.

    Raises ConfigError for a file that can't be read or does not fit.
    """
    if mqtt.url.startswith("mqtt://"):
        return None
    context = ssl.create_default_context()
    try:
        if mqtt.ca_file:
            context.load_verify_locations(mqtt.ca_file)
        if mqtt.cert_file:
            context.load_cert_chain(mqtt.cert_file, mqtt.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = ", ".join(name for name in (mqtt.ca_file, mqtt.cert_file, mqtt.key_file) if name)
        raise ConfigError(f"mqtt.ca_file, cert_file, key_file = {files}: {error}; they must be PEM, and fit") from None
    return context


def _check_files(path: Path, mqtt: Mqtt) -> None:
    for key in ("ca_file", "cert_file", "key_file", "password_file"):
        name = getattr(mqtt, key)
        if name and not os.access(name, os.R_OK):
            raise ConfigError(f"{path}: mqtt.{key} = {name!r}: no such file, or not readable; correct the path")
    if bool(mqtt.cert_file) != bool(mqtt.key_file):
        missing = "key_file" if mqtt.cert_file else "cert_file"
        raise ConfigError(f"{path}: mqtt.{missing} = '': a certificate and its key are used together; set both or none")
    if mqtt.key_file and Path(mqtt.key_file).stat().st_mode & 0o077:
        raise ConfigError(
            f"{path}: mqtt.key_file = {mqtt.key_file!r}: others can read it; do: chmod 600 {mqtt.key_file}"
        )
    if mqtt.url.startswith("mqtt://"):
        _check_clear_text(path, mqtt)


def _check_clear_text(path: Path, mqtt: Mqtt) -> None:
    if mqtt.cert_file:
        raise ConfigError(f"{path}: mqtt.url = {mqtt.url!r}: certificates need mqtts://")
    if mqtt.password_file and urlsplit(mqtt.url).hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError(f"{path}: mqtt.url = {mqtt.url!r}: a password is not sent in clear text; use mqtts://")
