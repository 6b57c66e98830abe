"""`python -m models families`: scenarios judged by networks that were not trained on their family.

What flows in: samples of telemetry and of training scenarios. What flows out: the tables of the scenarios, each
replayed through the device's pipeline with a network whose training left out its family and some others.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from edge_agent.detection.network import Array
from edge_agent.detection.pipeline import Pipeline
from edge_agent.detection.trends.persistence_features import FEATURES
from models.persistence.persistence_artifact import add_extraction, extracted
from models.persistence.training import Fitted, fit
from models.scenarios import FAULTY, LOOKALIKES, REPORTS, build
from models.scenarios.evaluate import FIRST_SEED
from models.scenarios.figures import Outcome, outcome
from models.scenarios.replay import HORIZON_S, replay
from models.scenarios.tables import tables

Task = tuple[Fitted, str, int]


class FittedNetwork:
    """A fitted network in floating point, behind the port of the device."""

    name = "held-out-1"
    features = FEATURES

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted

    def run(self, values: Array) -> Array:
        """Return the logit of each row."""
        return self._fitted.network.run(self._fitted.scaling.scaled(values))


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `families` and its options."""
    parser = commands.add_parser("families", help="scenarios of families that trained no network", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_extraction(parser)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="scenarios of each family (default 5)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Hold families out in turn, replay, print."""
    print(tables(list(evaluate(options))))


def evaluate(options: argparse.Namespace) -> Iterator[Outcome]:
    """Yield the outcome of each scenario; public reports are judged by a network that was trained on all families."""
    tasks = list(_tasks(options))
    with ProcessPoolExecutor(max(1, options.jobs), multiprocessing.get_context("spawn")) as processes:
        for number, done in enumerate(processes.map(_replayed, tasks), start=1):
            print(f"{number}/{len(tasks)} {done.family}/{done.seed}", file=sys.stderr, flush=True)
            yield done


def family_folds(count: int) -> Iterator[list[str]]:
    """Yield the families that are held out together: some look-alikes and some faults, each family once."""
    for start in range(count):
        yield [*list(LOOKALIKES)[start::count], *list(FAULTY)[start::count]]


def _tasks(options: argparse.Namespace) -> Iterator[Task]:
    telemetry, _, scenarios = extracted(options)
    for number, out in enumerate(family_folds(options.folds)):
        fitted = fit(telemetry, scenarios.where(~np.isin(scenarios.group, out)), options.seed + number)
        yield from ((fitted, family, FIRST_SEED + seed) for family in out for seed in range(options.seeds))
    fitted = fit(telemetry, scenarios, options.seed)
    yield from ((fitted, family, FIRST_SEED) for family in REPORTS)


def _replayed(task: Task) -> Outcome:
    fitted, family, seed = task
    scenario, network = build(family, seed), FittedNetwork(fitted)
    return outcome(
        scenario,
        replay(
            scenario, lambda period_s: Pipeline(period_s=period_s, horizon_s=HORIZON_S, scorer=None, network=network)
        ),
    )
