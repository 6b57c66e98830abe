"""`python -m models evaluate` (`make eval`): scores and judges everything in one go.

What flows in: a folder of labelled telemetry (models/datasets.py) and an artifact. What flows out: a table, and below
OUT the scores it was made of, one folder for each way of judging.

Each machine is replayed row by row as a device would see it: its `train` rows first, as its history, then its `test`
rows, which are judged. Labels are only looked at afterwards. Ways of judging: as shipped, and one thing changed at a
time: the network before rounding, no network, one day of history.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from models.cost import Cost, step_cost
from models.datasets import DataError, fleet_paths, stream_paths
from models.judge import Figures, judge
from models.replay import DAY_S, NetKind, Way
from models.report import insert, report
from models.score import Task, add_options, plan, score_all
from models.thresholds import candidates

OUT = Path("build/eval")


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `evaluate` and its options."""
    parser = commands.add_parser("evaluate", help="measure an artifact on labelled machines", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of labelled telemetry")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"where the scores go (default {OUT})")
    add_options(parser)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Score in every way, judge, measure the cost, print the table."""
    ways = ways_of(options.model)
    figures = {name: evaluate(options, name, way) for name, way in ways.items()}
    shipped = next(iter(figures.values()))
    text = report(figures, candidates(shipped.judged), costs(ways))
    print(text)
    if options.write:
        insert(options.write, text)


def ways_of(artifact: Path) -> dict[str, Way]:
    """Return the ways that are compared, the one that devices ship with first."""
    shipped = Way(artifact=artifact)
    return {
        "as shipped": shipped,
        "float32": replace(shipped, net=NetKind.FLOAT32),
        "no network": replace(shipped, net=NetKind.NONE),
        "one day of history": replace(shipped, history_s=DAY_S),
    }


def evaluate(options: argparse.Namespace, name: str, way: Way) -> Figures:
    """Score all recordings in one way and judge them. Raises DataError if one can't be scored."""
    out = options.out / name.replace(" ", "-")
    # streams have no history to be shortened
    paths = [*fleet_paths(options.data), *(stream_paths(options.data) if way.history_s is None else [])]
    tasks = [Task(path, target, way, options.period_s) for path, target in plan(paths, out, options.data).items()]
    print(f"{name}: {len(tasks)} recordings into {out}", file=sys.stderr, flush=True)
    if failed := score_all(tasks, options.jobs):
        raise DataError(f"{failed} of {len(tasks)} recordings could not be scored; each is named above")
    print(f"{name}: judging", file=sys.stderr, flush=True)
    return judge(options.data, out, options.period_s)


def costs(ways: Mapping[str, Way]) -> dict[str, Cost]:
    """Measure a step with and without the network."""
    print("cost of a step", file=sys.stderr, flush=True)
    return {name: step_cost(ways[name]) for name in ("as shipped", "no network")}
