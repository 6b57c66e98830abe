"""The command line of the cloud: `support-cloud run | check-config | account | case story | labels export | version`.

Exit codes: 0 done, 1 failed while starting or running, 2 wrong command line or configuration.
"""

import argparse
import asyncio
import gc
import logging
import os
import sys
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from cloud import __version__, account_commands, service
from cloud.case_service.story import story
from cloud.cases.outcomes import Label
from cloud.config import Config, ConfigError, load
from cloud.outcomes.label_export import Exported, LabelFolder, export_labels
from cloud.store.database import Database

_OPTIONS = {  # what the command line can say, and the key that it sets
    "data": "data.dir",
    "broker": "broker.url",
    "mqtt": "broker.listen",
    "ca_file": "broker.ca_file",
    "broker_password_file": "broker.password_file",
    "web": "web.listen",
    "password_file": "web.password_file",
    "allow_remote": "allow_remote",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = _parser().parse_args(argv)
    os.umask(0o077)  # customers' evidence and password hashes are nobody else's business
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        (_account if "account_action" in arguments else arguments.command)(arguments)
    except ConfigError as error:
        return _failed(error, 2)
    except LookupError as error:
        return _failed(error, 1)
    except (OSError, SQLAlchemyError, CommandError) as error:
        return _failed(error, 1)
    except KeyboardInterrupt:  # before the service could take the signal itself
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="support-cloud",
        description="Receives findings from devices, opens support cases and serves the console for support staff.",
        epilog="Exit codes: 0 done, 1 failed while starting or running, 2 wrong command line or configuration.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    options = _options()
    run = commands.add_parser("run", parents=[options], help="serve until stopped (SIGTERM, Ctrl-C)")
    run.set_defaults(command=_run)
    check = commands.add_parser("check-config", parents=[options], help="read the configuration, change nothing")
    check.set_defaults(command=_check_config)
    account_commands.add_parsers(commands, options)
    actions = commands.add_parser("case", help="read a case").add_subparsers(required=True, metavar="ACTION")
    story_parser = actions.add_parser(
        "story", parents=[options], help="print all that happened in a case, with the reasons"
    )
    story_parser.add_argument("number", type=int, metavar="NUMBER", help="the number of the case")
    story_parser.set_defaults(command=_story)
    labels = commands.add_parser("labels", help="what staff have labelled")
    what = labels.add_subparsers(required=True, metavar="WHAT")
    export = what.add_parser("export", parents=[options], help="labelled episodes, for models train machine --labels")
    export.add_argument("--fault", default="machine.anomaly", metavar="CODE", help="default: machine.anomaly")
    export.add_argument("--component", default="", metavar="NAME", help="one machine only (default: all)")
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make; it must not exist")
    export.set_defaults(command=_export_labels)
    commands.add_parser("version", help="print the version").set_defaults(command=_version)
    return parser


def _options() -> argparse.ArgumentParser:
    """What `run` and `check-config` understand; what is not said is left to the file and the defaults."""
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    options.add_argument("--config", type=Path, metavar="FILE", help="configuration, TOML (default: none)")
    options.add_argument("--data", metavar="DIR", help="folder for the database")
    options.add_argument("--broker", metavar="URL", help="mqtt:// or mqtts://[USER@]HOST[:PORT] (default: embedded)")
    options.add_argument(
        "--mqtt", metavar="HOST:PORT", help="where the embedded broker listens (default: 127.0.0.1:1883)"
    )
    options.add_argument(
        "--ca-file", metavar="FILE", help="authority that signed the certificate of an mqtts:// broker"
    )
    options.add_argument("--broker-password-file", metavar="FILE", help="password for USER of --broker, mode 0600")
    options.add_argument("--web", metavar="HOST:PORT", help="where the console listens (default: 127.0.0.1:8080)")
    options.add_argument("--password-file", metavar="FILE", help="password of the first account, mode 0600")
    options.add_argument(
        "--allow-remote", action="store_true", help="let the embedded broker listen beyond this machine"
    )
    return options


def _load(arguments: argparse.Namespace) -> Config:
    given = vars(arguments)
    return load(given.get("config"), {key: given[name] for name, key in _OPTIONS.items() if name in given})


def _run(arguments: argparse.Namespace) -> None:
    config = _load(arguments)
    gc.collect()
    gc.freeze()  # the collector need not look at all modules again and again while messages pour in
    asyncio.run(service.run(config))


def _check_config(arguments: argparse.Namespace) -> None:
    config = _load(arguments)
    broker = config.broker.url or f"embedded on {config.broker.listen}"
    print(f"the configuration is good: data in {config.data_dir}, broker {broker}, console on {config.web.listen}")


def _account(arguments: argparse.Namespace) -> None:
    print(asyncio.run(account_commands.run_action(_load(arguments), arguments)))


def _story(arguments: argparse.Namespace) -> None:
    print(asyncio.run(_read_story(_load(arguments), arguments.number)), end="")


async def _read_story(config: Config, number: int) -> str:
    database = Database(config.database_url)
    try:
        async with database.read() as session:
            return await story(session, number)
    finally:
        await database.close()


def _export_labels(arguments: argparse.Namespace) -> None:
    exported = asyncio.run(_exported(_load(arguments), LabelFolder(arguments.out), arguments))
    faults = sum(episode.label is Label.TRUE_FAULT for episode in exported.written)
    print(f"{arguments.out}: {len(exported.written)} recordings, {faults} with a fault, and labels.csv")
    for episode in exported.missing:
        what = f"case {episode.case_number}, {episode.component} at {episode.device}"
        print(f'left out: {what}: no telemetry at full rate (telemetry.profile = "full") is kept of that time')


async def _exported(config: Config, folder: LabelFolder, arguments: argparse.Namespace) -> Exported:
    database = Database(config.database_url)
    try:
        async with database.read() as session:
            return await export_labels(session, folder, arguments.fault, arguments.component)
    finally:
        await database.close()


def _version(_arguments: argparse.Namespace) -> None:
    print(f"support-cloud {__version__}")


def _failed(error: Exception, code: int) -> int:
    print(f"support-cloud: {' '.join(str(error).split())}", file=sys.stderr)
    return code
