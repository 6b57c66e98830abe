"""`python -m models scenarios`: how many look-alikes open a case, how many faults are found before their impact.

What flows in: families and seeds. What flows out: a line for each family, and for each public report. Each scenario is
replayed through the device's own rules and trends; with --show, what staff would read of one.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from edge_agent.artifacts.tflite_network import ArtifactError, load_network, shipped_network
from edge_agent.assembly import PERSISTENCE
from edge_agent.detection.network import Network
from edge_agent.detection.trends.persistence_features import FEATURES
from edge_agent.protocol.records import Phase
from edge_agent.protocol.wording import duration
from models.datasets import DataError
from models.report import insert
from models.scenarios.families import FAMILIES, REPORTS, build
from models.scenarios.figures import Outcome, outcome
from models.scenarios.replay import Make, Published, announcements, device, replay
from models.scenarios.scenario import Scenario
from models.scenarios.tables import tables

SEEDS = 5
FIRST_SEED = 1000  # those below are for training
BEGIN, END = "<!-- scenarios -->", "<!-- end of scenarios -->"


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `scenarios` and its options."""
    parser = commands.add_parser("scenarios", help="replay simulated look-alikes and faults", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=_count, default=SEEDS, metavar="N", help=f"of each family (default {SEEDS})")
    parser.add_argument("--family", action="append", choices=FAMILIES, metavar="NAME", help="only this one; repeatable")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a processor)")
    parser.add_argument("--rule", action="store_true", help="trends without the persistence network")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this document")
    parser.add_argument("--show", choices=FAMILIES, metavar="NAME", help="print what staff would read of one scenario")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the scenario to show")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Replay all scenarios and print the tables, or show one."""
    if options.show:
        print("\n".join(shown(build(options.show, options.seed), device(network_of(options.rule)))))
        return
    done = evaluate(options.family or list(FAMILIES), options.seeds, options.rule, options.jobs)
    heading = "Trends without a network:" if options.rule else f"{PERSISTENCE}, trained on these families:"
    text = f"{heading}\n\n{tables(list(done))}"
    print(text)
    if options.write:
        insert(options.write, text, BEGIN, END)


def network_of(rule: bool) -> Network | None:
    """Return the shipped network; None for the rule alone. Raises DataError."""
    try:
        return None if rule else load_network(shipped_network(PERSISTENCE), FEATURES)
    except ArtifactError as error:
        raise DataError(f"{error}, or give --rule") from None


def evaluate(families: Sequence[str], seeds: int, rule: bool, jobs: int) -> Iterator[Outcome]:
    """Replay `seeds` scenarios of each family, and each report once; yield the outcomes in order."""
    tasks = [
        Task(family, FIRST_SEED + number, rule)
        for family in families
        for number in range(1 if family in REPORTS else seeds)
    ]
    for number, done in enumerate(_each(tasks, jobs), start=1):
        print(
            f"\r{number}/{len(tasks)} scenarios", end="" if number < len(tasks) else "\n", file=sys.stderr, flush=True
        )
        yield done


class Task(NamedTuple):
    """One scenario to replay."""

    family: str
    seed: int
    rule: bool


def _each(tasks: Sequence[Task], jobs: int) -> Iterator[Outcome]:
    workers = min(max(1, jobs), len(tasks))
    if workers == 1:
        yield from map(_evaluate, tasks)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as processes:
        yield from processes.map(_evaluate, tasks)


def _evaluate(task: Task) -> Outcome:
    scenario = build(task.family, task.seed)
    return outcome(scenario, replay(scenario, device(network_of(task.rule))))


def shown(scenario: Scenario, make: Make) -> Iterator[str]:
    """Yield lines for the truth, and one for each opening, clearing and change of severity."""
    yield f"{scenario.name}, {scenario.kind}, {duration(float(scenario.timeline.t_s[-1]))}"
    for impact in scenario.impacts:
        yield (
            f"truth: {impact.fault} on {impact.component}, onset at {duration(impact.onset_s)}, "
            f"impact at {duration(impact.impact_s)}"
        )
    for number, rise in enumerate(scenario.rises[:3], start=1):
        yield f"truth: rise {number} from {duration(rise.begin_s)} to {duration(rise.end_s)}; nothing impacts"
    severities: dict[str, str] = {}
    for published in announcements(scenario, make):
        finding = published.finding
        if finding.phase is not Phase.UPDATE or severities.get(finding.finding_id) != finding.severity:
            yield _line(scenario, published)
        severities[finding.finding_id] = finding.severity


def _line(scenario: Scenario, published: Published) -> str:
    finding = published.finding
    head = f"{duration(published.at_s)} ({_relative(scenario, published)}): {finding.phase.value}"
    if finding.phase is Phase.CLEAR:
        return f"{head} {finding.fault} on {finding.component}: {finding.reason}"
    return (
        f"{head} {finding.fault} on {finding.component}, {finding.severity.value}, "
        f"confidence {finding.confidence:.0%}: {finding.reason}"
    )


def _relative(scenario: Scenario, published: Published) -> str:
    """Return the time relative to the truth."""
    at_s, finding = published.at_s, published.finding
    for impact in scenario.impacts:
        if (impact.fault, impact.component) == (finding.fault, finding.component) and at_s >= impact.onset_s:
            return f"{duration(at_s - impact.onset_s)} after onset, {duration(impact.impact_s - at_s)} before impact"
    for number, rise in enumerate(scenario.rises, start=1):
        if rise.begin_s <= at_s < rise.end_s:
            return f"rise {number}, {duration(at_s - rise.begin_s)} after its begin"
        if rise.end_s <= at_s < rise.until_s:
            return f"{duration(at_s - rise.end_s)} after the end of rise {number}"
    return "at another time"


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count
