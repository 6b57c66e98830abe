"""The command line of the agent: `edge-agent run | sample | record | machine | check-config | version`.

Exit codes: 0 done, 1 failed while running, 2 wrong command line or configuration.
"""

import argparse
import json
import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from edge_agent import __version__
from edge_agent.artifacts.fleet import ModelError
from edge_agent.assembly import make_agent, make_collection, make_link, make_machines, make_relations, make_scorer
from edge_agent.clock import SystemClock
from edge_agent.config import ConfigError, load
from edge_agent.detection.anomaly.scorer import DETECTOR
from edge_agent.detection.features import Features
from edge_agent.machines.machine_resets import CHECK_EVERY_S, request_reset
from edge_agent.machines.series_recording import chosen_series, record
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
    _add_record(commands, config)
    _add_machine(commands, config)
    commands.add_parser("version", help="print the version").set_defaults(command=_version)
    return parser


def _add_record(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", config: argparse.ArgumentParser
) -> None:
    record = commands.add_parser("record", parents=[config], help="record series into a file, a line each second")
    record.add_argument("series", nargs="+", metavar="SERIES", help="a series, or a pattern such as 'pump.*'")
    record.add_argument("--out", type=Path, required=True, metavar="FILE", help="csv file to write; it must not exist")
    record.add_argument("--seconds", type=int, metavar="N", help="stop after N seconds (default: at Ctrl-C)")
    record.set_defaults(command=_record)


def _add_machine(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", config: argparse.ArgumentParser
) -> None:
    machine = commands.add_parser("machine", help="commands for machines beside the device")
    actions = machine.add_subparsers(required=True, metavar="ACTION")
    reset = actions.add_parser("reset", parents=[config], help="forget what a machine's healthy start was; learn anew")
    reset.add_argument("name", metavar="NAME", help="the machine's name in the configuration")
    reset.set_defaults(command=_reset_machine)


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


def _record(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    clock, collection, features = SystemClock(), make_collection(config), Features()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def sample() -> tuple[float, Mapping[str, float]]:
        taken = collection.sample(clock.now())
        return taken.at.uptime_s, features.step(taken)

    due_s, _ = sample()
    rows_left = math.inf if arguments.seconds is None else arguments.seconds

    def next_sample() -> tuple[float, Mapping[str, float]] | None:
        nonlocal due_s, rows_left
        due_s, rows_left = max(due_s + 1.0, clock.now().uptime_s), rows_left - 1
        clock.wait_until(due_s, stop)
        return None if stop.is_set() or rows_left < 0 else sample()

    clock.wait_until(due_s + 1.0, stop)
    due_s, present = sample()  # a total has a rate from the second reading on
    try:
        rows = record(arguments.out, chosen_series(arguments.series, list(present)), next_sample)
    except FileExistsError:
        raise ConfigError(f"{arguments.out}: exists; name another file") from None
    except OSError as error:
        raise ConfigError(f"{arguments.out}: {error.strerror}; name a file in a folder that can be written") from None
    except ValueError as error:
        raise ConfigError(f"{arguments.out}: {error}") from None
    print(f"{arguments.out}: {rows} rows")
    return 0


def _reset_machine(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    names = [machine.name for machine in config.machines]
    if arguments.name not in names:
        raise ConfigError(f"no machine is named {arguments.name!r}; configured: {', '.join(names) or 'none'}")
    try:
        request_reset(config.state_dir, arguments.name)
    except OSError as error:
        raise ConfigError(
            f"state.dir = {str(config.state_dir)!r}: {error.strerror}; run it as the agent's user"
        ) from None
    print(f"{arguments.name}: learns a new healthy start, within {CHECK_EVERY_S:.0f} s if the agent runs")
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
    make_machines(config.machines)
    make_link(config)
    model = DETECTOR if scorer else "none"
    print(f"ok: device {config.device_id}, broker {config.mqtt.url}, model {model}, state in {config.state_dir}")
    return 0


def _version(_arguments: argparse.Namespace) -> int:
    print(__version__)
    return 0
