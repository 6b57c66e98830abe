"""`python -m models evaluate` (`make eval`): scores all recordings and compares them with their labels.

What flows in: a folder of labelled telemetry (models/datasets.py). What flows out: a table, and below OUT the scores
it was made of, one folder for each setting.

Each machine is replayed row by row as a device would see it: its `train` rows first, as its history, then its `test`
rows, which are scored. Labels are only read afterwards. Settings: as shipped, and one thing changed at a
time: one day of history, a device that has just been switched on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.cross_validation import Strengths, held_out
from models.datasets import DataError, fleet_paths, read_npz, stream_paths
from models.label_metrics import Evaluated, Figures, compare
from models.replay import DAY_S, Way
from models.report import insert, report
from models.score import Task, add_options, plan, score_all
from models.step_cost import step_cost

OUT = Path("build/eval")
SHIPPED = "as shipped"
WAYS = {
    SHIPPED: Way(),
    "one day of history": Way(history_s=DAY_S),
    "just switched on": Way(history_s=0.0),
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `evaluate` and its options."""
    parser = commands.add_parser("evaluate", help="measure the detection on labelled machines", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of labelled telemetry")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"where the scores go (default {OUT})")
    add_options(parser)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Score with every setting, compare with labels, measure the cost, print the table."""
    figures = {name: evaluate(options, name, way) for name, way in WAYS.items()}
    print("settings of the bar", file=sys.stderr, flush=True)
    chosen = held_out(strengths(figures[SHIPPED].evaluated, _folder(options, SHIPPED)), options.jobs)
    print("cost of a step", file=sys.stderr, flush=True)
    text = report(figures, chosen, step_cost())
    print(text)
    if options.write:
        insert(options.write, text)


def evaluate(options: argparse.Namespace, name: str, way: Way) -> Figures:
    """Score all recordings with one setting; compare them with labels. Raises DataError if one can't be scored."""
    out = _folder(options, name)
    # streams have no history to be shortened, and are scored once
    paths = [*fleet_paths(options.data), *(stream_paths(options.data) if way == Way() else [])]
    tasks = [Task(path, target, way, options.period_s) for path, target in plan(paths, out, options.data).items()]
    print(f"{name}: {len(tasks)} recordings into {out}", file=sys.stderr, flush=True)
    if failed := score_all(tasks, options.jobs):
        raise DataError(f"{failed} of {len(tasks)} recordings could not be scored; each is named above")
    print(f"{name}: comparing with labels", file=sys.stderr, flush=True)
    return compare(options.data, out, options.period_s)


def strengths(evaluated: Sequence[Evaluated], scores: Path) -> list[Strengths]:
    """Read back the strength of each row of each machine."""
    return [
        Strengths(
            name=one.machine.name,
            fleet=one.machine.fleet,
            truth=one.truth,
            strength=read_npz(scores / f"{one.machine.name}.npz")["strength"].astype(np.float64),
        )
        for one in evaluated
    ]


def _folder(options: argparse.Namespace, way: str) -> Path:
    out: Path = options.out
    return out / way.replace(" ", "-")
