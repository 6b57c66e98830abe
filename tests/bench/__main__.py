"""`make bench`: what the parts cost, as ratios to a peer or to the raw limit in the same run.

What flows out: tables on the terminal, between two marks of docs/performance.md with --write, and build/bench.json.
Parts that are not measured in this run are taken from the build/bench.json of earlier ones. Machines are shared and
noisy: read the ratios.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from models.report import insert, table
from tests.bench import cases, ingest, networks, wire
from tests.bench.agent import beside_peers
from tests.bench.day import a_day
from tests.bench.steps import steps

RESULT = Path("build/bench.json")
BEGIN, END = "<!-- bench -->", "<!-- end of bench -->"


class Part(NamedTuple):
    """A table for people, and the same for programs."""

    text: str
    figures: Mapping[str, Any]


def main() -> int:
    """Measure, print, write; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="default: all of them")
    parser.add_argument(
        "--watch-s", type=float, default=600.0, metavar="S", help="how long agent and peers are watched"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this document")
    options = parser.parse_args()
    known: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for name in options.parts:
        print(f"{name} ...", file=sys.stderr, flush=True)
        about = _about()
        part = PARTS[name](options)
        known[name] = {"about": about, "text": part.text, "figures": part.figures}
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(known, indent=1))
    parts = [
        f"### {measure.__doc__}\n\n{known[name]['about']}\n\n{known[name]['text']}"
        for name, measure in PARTS.items()
        if name in known
    ]
    text = "\n\n".join(parts)
    print(text)
    if options.write:
        insert(options.write, text, BEGIN, END)
    return 0


def _about() -> str:
    python, machine = platform.python_version(), platform.machine()
    load = os.getloadavg()[0]
    return f"{datetime.now(UTC):%Y-%m-%d}, Python {python}, {machine}, {os.cpu_count()} cores, load {load:.1f} before."


def _steps(_options: argparse.Namespace) -> Part:
    """One sample, CPU time"""
    rows = steps()
    limit = next(iter(rows.values()))[0]
    lines = [[name, f"{median:.0f}", f"{p99:.0f}", f"{median / limit:.2f}"] for name, (median, p99) in rows.items()]
    figures = {
        name: {"median_us": median, "p99_us": p99, "ratio": median / limit} for name, (median, p99) in rows.items()
    }
    return Part(table(["", "median, µs", "p99, µs", "of the raw limit"], lines), figures)


def _agent(options: argparse.Namespace) -> Part:
    """The agent at 1 Hz beside its peers"""
    with tempfile.TemporaryDirectory() as folder:
        costs = beside_peers(Path(folder), options.watch_s)
    own = costs["edge-agent"]
    lines = [
        [
            name,
            f"{cost.cpu_percent:.2f} %",
            f"{cost.cpu_percent / own.cpu_percent:.1f}",
            f"{cost.pss_mib:.1f}",
            f"{cost.written_bytes / 1024:.0f}",
            "–" if cost.sent_bytes is None else f"{cost.sent_bytes / 1000:.1f}",
        ]
        for name, cost in costs.items()
    ]
    heads = ["", "CPU of one core", "times the agent's", "PSS, MiB", "written, KiB", "sent, kB"]
    text = f"Watched for {options.watch_s:.0f} s, same machine and time.\n\n{table(heads, lines)}"
    return Part(text, {name: asdict(cost) for name, cost in costs.items()})


def _networks(options: argparse.Namespace) -> Part:
    """The networks on a device"""
    found = networks.inferences()
    lines = [[name, f"{median:.0f}", f"{p99:.0f}"] for name, (median, p99) in found.items()]
    with tempfile.TemporaryDirectory() as folder:
        watched = networks.agents(Path(folder), options.watch_s)
    rows = [
        [name, f"{one.cost.cpu_percent:.2f} %", f"{one.cost.pss_mib:.1f}", "yes" if one.interpreter else "no"]
        for name, one in watched.items()
    ]
    inferences = table(["one inference, CPU time", "median, µs", "p99, µs"], lines)
    heads = ["the agent at 1 Hz", "CPU of one core", "PSS, MiB", "interpreter loaded"]
    text = f"{inferences}\n\nEach agent alone, {options.watch_s:.0f} s.\n\n{table(heads, rows)}"
    return Part(text, {"inferences": found, "agents": {name: asdict(one) for name, one in watched.items()}})


def _day(_options: argparse.Namespace) -> Part:
    """A healthy, connected day of a virtual device"""
    with tempfile.TemporaryDirectory() as folder:
        day = a_day(Path(folder))
    lines = [["sent, kB", f"{day['sent_bytes'] / 1000:.1f}"], ["written, KiB", f"{day['written_bytes'] / 1024:.0f}"]]
    return Part(table(["in 24 hours", ""], lines), day)


def _ingest(_options: argparse.Namespace) -> Part:
    """One ingest worker beside a client that only drains the broker"""
    figures = ingest.measure(lambda line: print(f"  {line}", file=sys.stderr, flush=True))
    lines = [
        [f"{devices}", f"{found['raw_per_s']:,}"]
        + [
            f"{kind['messages_per_s']:,} ({kind['of_raw']:.2f})" if (kind := found["databases"].get(name)) else "–"
            for name in ingest.DATABASES
        ]
        for devices, found in figures["devices"].items()
    ]
    heads = [
        "devices",
        "raw drain, messages/s",
        *(f"{name}, messages/s (of the raw drain)" for name in ingest.DATABASES),
    ]
    about = f"A message holds {ingest.SECONDS} s of {ingest.METRICS} metrics; medians of {ingest.ROUNDS} runs."
    waits = [
        [name, f"{wait['p50_s']:.3f}", f"{wait['p99_s']:.3f}"] for name, wait in figures["finding_to_case"].items()
    ]
    load = f"From a finding's publish to its case, while {ingest.LOAD_PER_S:,} messages of telemetry a second come in."
    text = f"{about}\n\n{table(heads, lines)}\n\n{load}\n\n{table(['', 'p50, s', 'p99, s'], waits)}"
    return Part(text, figures)


def _cases(_options: argparse.Namespace) -> Part:
    """Opening cases from findings beside the raw inserts of the same rows"""
    figures = cases.measure()
    lines = [
        [name]
        + [f"{found[key]:,}" for key in ("cases_per_s", "with_clocks_and_mail_per_s", "raw_inserts_per_s")]
        + [f"{found['of_raw']:.2f}"]
        for name, found in figures.items()
    ]
    heads = ["", "cases/s", "with service levels and mail", "raw inserts/s", "of the raw rate"]
    about = f"One worker, {cases.PER_TRANSACTION} findings in a transaction; medians of {cases.ROUNDS} runs."
    return Part(f"{about}\n\n{table(heads, lines)}", figures)


def _wire(_options: argparse.Namespace) -> Part:
    """Telemetry on the wire, MQTT and TLS framing included"""
    found = wire.figures()
    lines = [
        [source, profile, f"{figure['bytes_a_sample']:.2f}", f"{figure['bytes_a_day'] / 1000:.1f}"]
        for source, profiles in found.items()
        for profile, figure in profiles.items()
    ]
    return Part(table(["device", "profile", "bytes a sample", "kB a day"], lines), found)


PARTS: dict[str, Callable[[argparse.Namespace], Part]] = {
    "steps": _steps,
    "agent": _agent,
    "networks": _networks,
    "day": _day,
    "wire": _wire,
    "ingest": _ingest,
    "cases": _cases,
}


if __name__ == "__main__":
    sys.exit(main())
