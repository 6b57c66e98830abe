"""The command line of the agent: `edge-agent run | sample | check-config | version`.

Exit codes: 0 done, 1 failed while running, 2 wrong command line or configuration.
"""

import argparse
import json
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from edge_agent import __version__
from edge_agent.agent import Agent, Settings
from edge_agent.artifacts import ModelError, load_fleet, shipped
from edge_agent.clock import SystemClock
from edge_agent.collectors import Collection, Collector
from edge_agent.collectors.battery import BatteryCollector
from edge_agent.collectors.host import HostCollector
from edge_agent.collectors.machine import LinuxMachine
from edge_agent.collectors.raspberry_pi import RaspberryPiCollector
from edge_agent.collectors.self_usage import OwnCostCollector
from edge_agent.collectors.storage import StorageCollector
from edge_agent.collectors.systemd import SystemdCollector
from edge_agent.collectors.wifi import WifiCollector
from edge_agent.config import AgentConfig, ConfigError, LimitsTable, State, load, read_secret, tls_context
from edge_agent.detection.anomaly.scorer import DETECTOR, Scorer
from edge_agent.detection.pipeline import Pipeline
from edge_agent.detection.relations.relations import Relations
from edge_agent.outbox.database import InUse, may_pass
from edge_agent.outbox.memory_fallback import Refuge
from edge_agent.outbox.outbox import Outbox
from edge_agent.outbox.quota import Room
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import metric_of
from edge_agent.protocol.wording import quantity
from edge_agent.resource_budget import Budgets
from edge_agent.uplink.mqtt_connection import Link

log = logging.getLogger(__name__)

MIB = 1 << 20


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = _parser().parse_args(argv)
    os.umask(0o077)  # what we keep is nobody else's business
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        code: int = arguments.command(arguments)
    except (ConfigError, ModelError) as error:
        print(f"edge-agent: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output left, as `edge-agent sample | head` does
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-agent", description="Watches this device and warns before it fails.")
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration (default: /etc/edge-agent/agent.toml)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", parents=[config], help="watch until stopped (SIGTERM, Ctrl-C)")
    run.set_defaults(command=_run)
    sample = commands.add_parser("sample", parents=[config], help="read every collector once and print what it says")
    sample.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    sample.set_defaults(command=_sample)
    check = commands.add_parser(
        "check-config", parents=[config], help="read the configuration and the model, change nothing"
    )
    check.set_defaults(command=_check_config)
    commands.add_parser("version", help="print the version").set_defaults(command=_version)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    agent = make_agent(config)
    stop = threading.Event()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        log.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    agent.run(stop)
    return 0


def make_agent(config: AgentConfig) -> Agent:
    """Wire the agent of this machine. Raises ConfigError or ModelError."""
    scorer = _scorer(config)
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
        relations=_relations(config),
        false_per_week=config.detection.false_cases_per_week,
        anomalies=Severity.WARNING if config.detection.anomalies_open_cases else Severity.INFO,
    )
    link = _link(config)
    return Agent(
        settings,
        clock=SystemClock(),
        collection=make_collection(config),
        pipeline=pipeline,
        outbox=_outbox(config.state_dir, config.state),  # the last: whatever else is wrong, no store is touched
        link=link,
    )


def make_collection(config: AgentConfig) -> Collection:
    """Return every collector of this machine that the configuration wants."""
    collectors: list[Collector] = [
        HostCollector(LinuxMachine(config.sampling.exclude_mounts)),
        RaspberryPiCollector(),
        StorageCollector(),
        BatteryCollector(),
        WifiCollector(),
        OwnCostCollector(),
    ]
    if config.services.units:
        collectors.append(SystemdCollector(config.services.units, config.services.exclude))
    return Collection(tuple(collectors))


def _budgets(limits: LimitsTable) -> Budgets:
    return Budgets(
        cpu=limits.cpu,
        memory_bytes=limits.memory_mib * MIB,
        sent_bytes=limits.sent_kb_per_day * 1000,
        written_bytes=limits.written_mib_per_day * MIB,
    )


def _outbox(folder: Path, state: State) -> Outbox:
    """Open the outbox; on a full or read-only disk one in memory until it can be: to be blind would be worse."""
    path = folder / "outbox.db"
    room = Room(
        budget_bytes=state.budget_mib * MIB,
        headroom_bytes=state.headroom_mib * MIB,
        flush_every_s=state.flush_every_min * 60.0,
    )
    try:
        return Outbox(path, room)
    except InUse as error:
        raise ConfigError(
            f"state.dir = {str(folder)!r}: {error}; stop the other agent, or name another folder"
        ) from None
    except (sqlite3.OperationalError, OSError) as error:
        if not may_pass(error):
            raise ConfigError(f"state.dir = {str(folder)!r}: {error}; name a folder that we may write to") from None
        log.error("the outbox in %s can't be opened (%s); until it can be, all is kept in memory only", folder, error)
        return Refuge(path, room)


def _scorer(config: AgentConfig) -> Scorer | None:
    if not config.detection.model:
        return None
    return Scorer()


def _relations(config: AgentConfig) -> Relations | None:
    if not config.detection.model:
        return None
    folder = Path(config.detection.model_dir) if config.detection.model_dir else shipped()
    return Relations(load_fleet(folder), config.detection.false_cases_per_week)


def _link(config: AgentConfig) -> Link:
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


def _sample(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    clock = SystemClock()
    collection = make_collection(config)
    collection.sample(clock.now())
    time.sleep(min(1.0, config.sampling.period_s))  # shares of CPU time need two readings
    sample = collection.sample(clock.now())
    if arguments.json:
        print(
            json.dumps(
                {
                    "at": sample.at.wall.isoformat(),
                    "uptime_s": sample.at.uptime_s,
                    "values": dict(sample.values),
                }
            )
        )
    else:
        width = max(map(len, sample.values))
        for series, value in sorted(sample.values.items()):
            print(f"{series:<{width}}  {quantity(value, metric_of(series).unit)}")
    for name, reason in collection.failing.items():
        print(f"edge-agent: collector {name}: {reason}", file=sys.stderr)
    return 1 if collection.failing else 0


def _check_config(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    scorer = _scorer(config)
    _relations(config)
    _link(config)
    model = DETECTOR if scorer else "none"
    print(f"ok: device {config.device_id}, broker {config.mqtt.url}, model {model}, state in {config.state_dir}")
    return 0


def _version(_arguments: argparse.Namespace) -> int:
    print(__version__)
    return 0
