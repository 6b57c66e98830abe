"""The reference pages of docs/reference: written from the code, so that they can't be wrong.

`python -m tests.documents` writes them, `python -m tests.documents --check` says which differ (exit 1).
"""

import argparse
import io
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from cloud import cli as cloud_cli
from cloud.account_commands import ACTIONS
from cloud.accounts import PERMISSIONS, Permission, Role
from cloud.config import Config as CloudConfig
from cloud.config import Endpoint
from cloud.web.app import ROUTERS
from cloud.web.permissions import TABLE, operations
from edge_agent import cli as agent_cli
from edge_agent.config import AgentConfig
from edge_agent.protocol.faults import FAULTS
from edge_agent.protocol.metrics import METRICS
from edge_agent.protocol.topics import Channel, topic
from firmware_stubs import cli as devices_cli

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Written from the code by `python -m tests.documents`; change it there. -->\n"


def table(*rows: tuple[str, ...]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *body = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def configuration() -> str:
    """The tables and keys of both programs."""
    parts = [
        "# Configuration\n",
        "Both files are TOML. A mistake is one line that names file, key, value and remedy, and exit code 2.\n",
        "## The agent: `/etc/edge-agent/agent.toml`\n",
        table(("key", "default", "meaning"), *keys(AgentConfig)),
        "## The cloud: the file named with `support-cloud run --config`\n",
        table(("key", "default", "meaning"), *keys(CloudConfig)),
    ]
    return "\n".join(parts)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield key, default and meaning of each setting, tables opened."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        elif tables := [
            one for one in get_args(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)
        ]:
            by_name = get_origin(field.annotation) is dict
            yield from keys(tables[0], f'{prefix}{name}."NAME".' if by_name else f"{prefix}{name}[].")
        else:
            yield (
                f"`{prefix}{name}`",
                "required" if field.is_required() else f"`{written(field.get_default(call_default_factory=True))}`",
                field.description or "",
            )


def written(value: Any) -> str:
    """Return a default as one writes it in TOML."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Endpoint):
        return f'"{value.host}:{value.port}"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(written, value)) + "]"
    return f'"{value}"' if isinstance(value, (str, Path)) else str(value)


def metrics() -> str:
    """All metrics with unit, kind and resolution."""
    rows = [
        (f"`{name}`", f"`{metric.unit}`", metric.kind, f"{metric.resolution:g}", metric.what)
        for name, metric in sorted(METRICS.items())
    ]
    intro = (
        "# Metrics\n\nNames and attributes follow OpenTelemetry's semantic conventions, units are UCUM; `forewarn.` is "
        "ours. A metric that a machine lacks is absent, not zero.\n"
    )
    return intro + "\n" + table(("metric", "unit", "kind", "resolution", "what"), *rows)


def faults() -> str:
    """The fault catalogue, an entry a section."""
    parts = [
        "# The fault catalogue\n",
        "The faults that a device can report or the cloud can observe, and the advice that support staff see.\n",
    ]
    for fault in FAULTS.values():
        parts += [
            f"## `{fault.code}`: {fault.title}\n",
            f"Detector: {fault.detector}. Initial severity: {fault.severity}. Component: {fault.component}.\n",
            f"The customer notices: {fault.impact}.\n",
            "\n".join(f"{number}. {step}" for number, step in enumerate(fault.advice, 1)) + "\n",
            f"Source: {fault.source}.\n",
        ]
    return "\n".join(parts)


def topics() -> str:
    """The topics of the wire."""
    rows = [(f"`{topic('DEVICE', channel)}`", _MEANING[channel]) for channel in Channel]
    return "# Topics\n\n" + table(("topic", "what"), *rows)


_MEANING = {
    Channel.FINDINGS: "up: findings, evidence packs, declared losses. JSON, QoS 1",
    Channel.TELEMETRY: "up: batches of aggregates, or of every reading. CBOR, deflated, QoS 1",
    Channel.PRESENCE: "up, retained, last will: online, offline, going down; versions and boot. JSON, QoS 1",
    Channel.ACK: "down: for each lane, the stream and the number up to which all is committed. JSON, QoS 0",
    Channel.EXPECTED: "down, retained: trends that staff closed as expected, each with extent and end. JSON, QoS 1",
    Channel.CONFIG: "down, retained: reserved for the configuration the device shall have",
    Channel.COMMANDS: "down: reserved for commands with an expiry",
}


def commands() -> str:
    """The help text of each program."""
    programs = {
        "edge-agent": (agent_cli.main, ("run", "sample", "record", "machine reset", "check-config", "version")),
        "support-cloud": (
            cloud_cli.main,
            (
                "run",
                "check-config",
                *(f"account {action}" for action in ACTIONS),
                "case story",
                "labels export",
                "version",
            ),
        ),
        "virtual-devices": (devices_cli.main, ("demo", "smoke", "run")),
    }
    parts = ["# Commands\n", "Exit codes: 0 done, 1 failed while running, 2 wrong command line or configuration.\n"]
    for name, (main, subcommands) in programs.items():
        parts.append(f"## {name}\n")
        parts += [f"```\n{help_of(main, [*subcommand.split(), '--help'])}```\n" for subcommand in subcommands]
    return "\n".join(parts)


def permissions() -> str:
    """Roles and every page, action and endpoint."""
    parts = [
        "# Who may do what\n",
        "The console refuses what is not allowed here, and does not offer it. An API token may no more than its person "
        "and its scopes; each scope includes `read`. `own`: whoever is logged in, for what is theirs; no token can.\n",
        table(("role", *map(str, Permission)), *((f"`{role}`", *_ticks(role)) for role in Role)),
        table(("page, action or endpoint", "what", "needs", *map(str, Role)), *_allowed()),
    ]
    return "\n".join(parts)


def _ticks(role: Role) -> Iterator[str]:
    return ("yes" if permission in PERMISSIONS[role] else "" for permission in Permission)


def _allowed() -> Iterator[tuple[str, ...]]:
    for operation, route in sorted(operations(ROUTERS), key=lambda each: (each[1].path, each[0])):
        needed = TABLE[operation]
        purpose = (route.endpoint.__doc__ or "").strip().splitlines()[0]
        yield (f"`{operation}`", purpose, needed, *("yes" if needed in PERMISSIONS[role] else "" for role in Role))


def help_of(main: Any, arguments: list[str]) -> str:
    """Return what a program prints for --help, at a fixed width."""
    printed = io.StringIO()
    os.environ["COLUMNS"] = "100"  # argparse wraps at the terminal's width
    with redirect_stdout(printed):
        try:
            main(arguments)
        except SystemExit as end:
            assert end.code == 0  # noqa: PT017  argparse leaves this way
    return printed.getvalue()


PAGES = {
    "configuration.md": configuration,
    "metrics.md": metrics,
    "faults.md": faults,
    "topics.md": topics,
    "commands.md": commands,
    "permissions.md": permissions,
}


def main() -> int:
    """Write or check the pages; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if a page differs from the code")
    check = parser.parse_args().check
    differing = []
    for name, render in PAGES.items():
        page, text = FOLDER / name, NOTE + "\n" + render()
        if not page.exists() or page.read_text() != text:
            differing.append(name)
            if not check:
                page.write_text(text)
    for name in differing:
        print(f"docs/reference/{name} {'differs from the code: run make docs' if check else 'written'}")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main())
