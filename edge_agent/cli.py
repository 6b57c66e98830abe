"""The command line of the agent: `edge-agent run | sample | check-config | version`.

Exit codes: 0 done, 1 failed while running, 2 wrong command line or configuration.
"""

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from edge_agent import __version__
from edge_agent.artifacts import ModelError
from edge_agent.assembly import make_agent, make_collection, make_link, make_relations, make_scorer
from edge_agent.clock import SystemClock
from edge_agent.config import ConfigError, load
from edge_agent.detection.anomaly.scorer import DETECTOR
from edge_agent.protocol.metrics import metric_of
from edge_agent.protocol.wording import quantity

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = _parser().parse_args(argv)
    os.umask(0o077)  # files of the agent are private
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        code: int = arguments.command(arguments)
    except (ConfigError, ModelError) as error:
        print(f"edge-agent: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader closed the pipe, as `edge-agent sample | head` does
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-agent", description="Monitors this device and warns before it fails.")
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration (default: /etc/edge-agent/agent.toml)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", parents=[config], help="monitor until stopped (SIGTERM, Ctrl-C)")
    run.set_defaults(command=_run)
    sample = commands.add_parser("sample", parents=[config], help="read every collector once and print the values")
    sample.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    sample.set_defaults(command=_sample)
    check = commands.add_parser(
        "check-config", parents=[config], help="check the configuration and the model, change nothing"
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


def _sample(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    clock = SystemClock()
    collection = make_collection(config)
    collection.sample(clock.now())
    time.sleep(min(1.0, config.sampling.period_s))  # a share of CPU time needs two readings
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
    scorer = make_scorer(config)
    make_relations(config)
    make_link(config)
    model = DETECTOR if scorer else "none"
    print(f"ok: device {config.device_id}, broker {config.mqtt.url}, model {model}, state in {config.state_dir}")
    return 0


def _version(_arguments: argparse.Namespace) -> int:
    print(__version__)
    return 0
