"""Assembly: builds an agent and all its parts from a configuration.

What flows in: an AgentConfig. What flows out: an Agent that is ready to run. Errors name a key and its remedy.
"""

import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from edge_agent.agent import Agent
from edge_agent.artifacts.fleet import load_fleet, shipped
from edge_agent.artifacts.tflite_network import ArtifactError, load_network, shipped_network
from edge_agent.clock import Clock, SystemClock
from edge_agent.collectors import Collection, Collector
from edge_agent.collectors.battery import BatteryCollector
from edge_agent.collectors.host import HostCollector
from edge_agent.collectors.machine import LinuxMachine
from edge_agent.collectors.raspberry_pi import RaspberryPiCollector
from edge_agent.collectors.readings_file import ReadingsFileCollector
from edge_agent.collectors.self_usage import SelfUsageCollector
from edge_agent.collectors.storage import StorageCollector
from edge_agent.collectors.systemd import SystemdCollector
from edge_agent.collectors.wifi import WifiCollector
from edge_agent.config import AgentConfig, ConfigError, LimitsTable, State, read_secret, tls_context
from edge_agent.detection import Pipeline
from edge_agent.detection.anomaly.scorer import DETECTOR, Scorer
from edge_agent.detection.machine import Machine, Machines, MachineSettings
from edge_agent.detection.machine.classifier import feature_names
from edge_agent.detection.network import Network
from edge_agent.detection.relations import Relations
from edge_agent.detection.trends import Expected
from edge_agent.detection.trends.persistence_features import FEATURES
from edge_agent.evidence import EvidenceRecorder, Ring
from edge_agent.machines.machine_config import MachineTable
from edge_agent.machines.machine_resets import MachineResets
from edge_agent.outbox import Outbox, open_outbox
from edge_agent.outbox.backdating import Backdating
from edge_agent.outbox.database import StoreInUseError
from edge_agent.outbox.detector_state import DetectorState
from edge_agent.outbox.quota import Quota
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import ExpectedTrends
from edge_agent.resource_budget import Budgets, Limits
from edge_agent.telemetry_batches import Telemetry
from edge_agent.uplink import Link, Uplink
from edge_agent.uplink.delivery import Delivery
from edge_agent.uplink.presence import PresenceReport

MIB = 1 << 20
PERSISTENCE = "persistence-2"  # the artifact that is shipped

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an agent needs to know about its device, in plain values."""

    device: str
    firmware: str
    hardware: str
    model: str
    period_s: float
    evidence_before_s: float
    evidence_after_s: float
    telemetry: str  # the profile
    publish_every_min: int  # minutes in one telemetry batch; 0 is the profile's own interval
    budgets: Budgets = field(default_factory=Budgets)


def assemble(
    settings: Settings, *, clock: Clock, collection: Collection, pipeline: Pipeline, outbox: Outbox, link: Link
) -> Agent:
    """Connect the parts of an agent; nothing is read or sent before `Agent.run`."""
    telemetry = Telemetry(settings.telemetry, settings.publish_every_min, settings.period_s)
    presence = PresenceReport(
        clock=clock,
        firmware=settings.firmware,
        hardware=settings.hardware,
        model=settings.model,
        telemetry_every_s=lambda: telemetry.every_s,
    )
    backdating = Backdating()
    uplink = Uplink(
        device=settings.device,
        link=link,
        outbox=outbox,
        presence=presence.message,
        monotonic=time.monotonic,
        undated=lambda: backdating.is_pending(clock.now().uptime_s),
    )
    uplink.on_expected = lambda message: pipeline.expect(expected_trends(message))
    ring = Ring(rows=round(settings.evidence_before_s / settings.period_s))
    return Agent(
        period_s=settings.period_s,
        clock=clock,
        collection=collection,
        limits=Limits(settings.budgets),
        pipeline=pipeline,
        evidence=EvidenceRecorder(ring, settings.evidence_after_s),
        telemetry=telemetry,
        delivery=Delivery(outbox, uplink, DetectorState(pipeline, clock.now().uptime_s), backdating),
        presence=presence,
    )


def expected_trends(message: ExpectedTrends) -> Iterator[Expected]:
    """Return what a message of the cloud says, as the trends take it."""
    for one in message.expected:
        yield Expected(
            fault=one.fault,
            component=one.component,
            least_headroom=one.least_left,
            until_s=one.until.timestamp(),
        )


def make_agent(config: AgentConfig) -> Agent:
    """Return the agent of this machine. Raises ConfigError or ModelError."""
    scorer = make_scorer(config)
    settings = Settings(
        device=config.device_id,
        firmware=config.device.firmware,
        hardware=_hardware(),
        model=DETECTOR if scorer else "",
        period_s=config.sampling.period_s,
        evidence_before_s=config.evidence.before_s,
        evidence_after_s=config.evidence.after_s,
        telemetry=config.telemetry.profile,
        publish_every_min=config.telemetry.publish_every_min,
        budgets=_budgets(config.limits),
    )
    pipeline = Pipeline(
        period_s=config.sampling.period_s,
        horizon_s=config.detection.horizon_h * 3600,
        scorer=scorer,
        relations=make_relations(config),
        machines=make_machines(config.machines),
        false_per_week=config.detection.false_cases_per_week,
        anomalies=Severity.WARNING if config.detection.anomalies_open_cases else Severity.INFO,
        network=persistence_network() if config.detection.model else None,
    )
    agent = assemble(
        settings,
        clock=SystemClock(),
        collection=make_collection(config),
        pipeline=pipeline,
        link=make_link(config),
        outbox=_outbox(config.state_dir, config.state),  # last: no store is opened where anything else is wrong
    )
    agent.resets = MachineResets(config.state_dir) if config.machines else None
    return agent


def make_collection(config: AgentConfig) -> Collection:
    """Return every collector of this machine that the configuration enables."""
    collectors: list[Collector] = [
        HostCollector(LinuxMachine(config.sampling.exclude_mounts)),
        RaspberryPiCollector(),
        StorageCollector(),
        BatteryCollector(),
        WifiCollector(),
        SelfUsageCollector(),
    ]
    if config.services.units:
        collectors.append(SystemdCollector(config.services.units, config.services.exclude))
    readings = (
        ReadingsFileCollector(machine.name, Path(machine.readings)) for machine in config.machines if machine.readings
    )
    return Collection(tuple(collectors), external=tuple(readings))


def _budgets(limits: LimitsTable) -> Budgets:
    return Budgets(
        cpu=limits.cpu,
        memory_bytes=limits.memory_mib * MIB,
        sent_bytes=limits.sent_kb_per_day * 1000,
        written_bytes=limits.written_mib_per_day * MIB,
    )


def _outbox(folder: Path, state: State) -> Outbox:
    """Open the outbox; on a full or read-only disk one in memory. Raises ConfigError where the folder can't be used."""
    quota = Quota(
        budget_bytes=state.budget_mib * MIB,
        headroom_bytes=state.headroom_mib * MIB,
        flush_every_s=state.flush_every_min * 60.0,
    )
    try:
        return open_outbox(folder / "outbox.db", quota)
    except StoreInUseError as error:
        raise ConfigError(
            f"state.dir = {str(folder)!r}: {error}; stop the other agent, or name another folder"
        ) from None
    except (sqlite3.OperationalError, OSError) as error:
        raise ConfigError(f"state.dir = {str(folder)!r}: {error}; name a folder that the agent may write to") from None


def make_scorer(config: AgentConfig) -> Scorer | None:
    """Return the anomaly scorer, None where the model is switched off."""
    if not config.detection.model:
        return None
    return Scorer()


def make_relations(config: AgentConfig) -> Relations | None:
    """Return the relations of the configured model, None where it is switched off. Raises ModelError."""
    if not config.detection.model:
        return None
    folder = Path(config.detection.model_dir) if config.detection.model_dir else shipped()
    return Relations(load_fleet(folder), config.detection.false_cases_per_week)


def persistence_network() -> Network | None:
    """Return the network that tells whether a trend goes on; None, and a line in the log, where it can't be used."""
    return _network(shipped_network(PERSISTENCE), FEATURES, "trends", "their confidence is at most 50 %")


def make_machines(tables: Iterable[MachineTable]) -> Machines:
    """Return the configured machines. A network that can't be used is logged, and its machine is evaluated without."""
    return Machines(
        Machine(MachineSettings(name=table.name, channels=table.channels, start_s=table.start_s), _of_machine(table))
        for table in tables
    )


def _of_machine(table: MachineTable) -> Network | None:
    if not table.artifact:
        return None
    folder = Path(table.artifact) if "/" in table.artifact else shipped_network(table.artifact)
    return _network(
        folder, feature_names(tuple(table.channels)), f"machine {table.name}", "it is evaluated by statistics only"
    )


def _network(folder: Path, features: tuple[str, ...], user: str, without: str) -> Network | None:
    try:
        return load_network(folder, features)
    except ArtifactError as error:
        log.warning("%s: %s; %s", user, error, without)
        return None


def make_link(config: AgentConfig) -> Link:
    """Return the broker's address and credentials. Raises ConfigError."""
    mqtt, parts = config.mqtt, urlsplit(config.mqtt.url)
    return Link(
        host=parts.hostname or "",
        port=parts.port or 0,
        tls=tls_context(mqtt),
        username=mqtt.username or None,
        password=read_secret(mqtt.password_file) if mqtt.password_file else None,
        keepalive_s=mqtt.keepalive_s,
    )


def _hardware() -> str:
    """Name the board, as its device tree does; empty where there is none."""
    try:
        return Path("/proc/device-tree/model").read_text().rstrip("\0\n")
    except OSError:
        return ""
