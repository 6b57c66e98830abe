"""`python -m models evaluate`: how well the agent's own Scorer finds labelled incidents, with and without the network.

What flows in: fleets of machines with labels (models/datasets.py) and an artifact. What flows out: a table.

Each machine is replayed row by row as a device would see it: its `train` rows first, as its history, then its `test`
rows, which are judged. Labels are only looked at afterwards. Three ways of judging are compared: without the network,
with its float weights, and with the int8 model that devices run.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from edge_agent.detection.baseline import Array
from edge_agent.detection.scoring import NET_WEIGHT, Net, Scorer
from edge_agent.model import load_net, shipped
from models.card import CARD_FILE, write_evaluation
from models.datasets import Machine, load_fleets
from models.dense import load_dense
from models.quality import Cases, Labels, at_threshold, auc_pr
from models.train import WEIGHTS_FILE

NETS = ("none", "float32", "int8")
FALSE_A_WEEK = 1.0  # what a fleet's owner bears, for each device
THRESHOLDS = np.round(np.arange(0.50, 0.999, 0.005), 3)


class Judged(NamedTuple):
    """One machine's test rows, judged."""

    fleet: str
    period_s: float
    label: Labels
    score: Array


class Silence:
    """A Net that has nothing to say: what level and jump do by themselves."""

    name = "none"

    def __init__(self, window: int) -> None:
        self.window = window

    def judge(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Nothing is unusual."""
        return np.zeros(len(windows), np.float32)


class Line(NamedTuple):
    """One line of the table: a fleet judged in one way."""

    fleet: str
    net: str
    auc_pr: float
    threshold: float
    f1: float
    found: str
    false_a_week: float


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `evaluate` and its options."""
    parser = commands.add_parser("evaluate", help="measure an artifact on labelled machines", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of telemetry")
    parser.add_argument(
        "--model", type=Path, default=shipped(), metavar="DIR", help="artifact (default: the shipped one)"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a processor)")
    parser.add_argument("--write-card", action="store_true", help="put the table into the artifact's card")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Judge every machine in every way, and print the table."""
    machines = load_fleets(options.data)
    tasks = [(machine, options.model, net) for net in NETS for machine in machines]
    with ProcessPoolExecutor(max(1, options.jobs), multiprocessing.get_context("spawn")) as processes:
        judged: list[tuple[str, Judged]] = []
        for task, one in zip(tasks, processes.map(_judge, *zip(*tasks, strict=True)), strict=True):
            print(f"{len(judged) + 1}/{len(tasks)} {task[0].name}, net {task[2]}", file=sys.stderr, flush=True)
            judged.append((task[2], one))
    text = table([line for net in NETS for line in lines(net, [one for used, one in judged if used == net])])
    print(text)
    if options.write_card:
        write_evaluation(options.model / CARD_FILE, text)


def judge(machine: Machine, net: Net, net_weight: float) -> Array:
    """Replay a machine through the agent's Scorer; return the values of its test rows."""
    scorer = Scorer(net, step_s=machine.period_s, net_weight=net_weight)
    names = [f"channel{number}" for number in range(machine.train.shape[1])]
    replay, values = np.concatenate([machine.train, machine.test]), []
    for row, readings in enumerate(replay):
        if score := scorer.step(dict(zip(names, readings.tolist(), strict=True)), row * machine.period_s):
            values.append(score.value)
    # the last row is finished by the first sample after it
    if score := scorer.step({}, len(replay) * machine.period_s):
        values.append(score.value)
    return np.array(values[len(machine.train) :])


def lines(net: str, judged: Sequence[Judged]) -> list[Line]:
    """One line a fleet: rank quality, and cases at the one threshold that all fleets together bear."""
    threshold = common_threshold(judged)
    result = []
    for fleet in sorted({one.fleet for one in judged}):
        part = [one for one in judged if one.fleet == fleet]
        cases, false_a_week = _cases(part, threshold)
        quality = float(np.nanmean([auc_pr(one.label, one.score) for one in part]))
        result.append(Line(fleet, net, quality, threshold, cases.f1, f"{cases.found} of {cases.events}", false_a_week))
    return result


def common_threshold(judged: Sequence[Judged]) -> float:
    """The threshold with the best F1 over all machines, with at most one false case a device-week in each fleet.

    It is chosen with the labels in hand: the figures at it say what is in the score, not what a new fleet will see.
    """
    fleets = {one.fleet for one in judged}
    best = (-1.0, float(THRESHOLDS[-1]))
    for threshold in map(float, THRESHOLDS):
        rates = [_cases([one for one in judged if one.fleet == fleet], threshold)[1] for fleet in fleets]
        if max(rates) <= FALSE_A_WEEK:
            best = max(best, (_cases(judged, threshold)[0].f1, threshold))
    return best[1]


def table(found: Sequence[Line]) -> str:
    """Return the lines as Markdown."""
    head = (
        "Real incidents, `test` rows, after the `train` rows as history. AUC-PR is the mean over machines. Cases of\n"
        "one hour, at one threshold for all fleets, the best with at most one false case a device-week in each.\n"
        "The threshold was chosen with these labels; so were the Scorer's half-lives, its number of loudest channels\n"
        "and its calibration, out of some fifty settings; and the network has learned from most of these machines'\n"
        "`train` rows. Nothing here was held out: expect less elsewhere.\n\n"
        "| fleet | network | AUC-PR | threshold | F1 | incidents found | false cases a device-week |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(
        f"| {line.fleet} | {line.net} | {line.auc_pr:.3f} | {line.threshold:.3f} | {line.f1:.2f} | {line.found} | "
        f"{line.false_a_week:.2f} |"
        for line in found
    )


def _judge(machine: Machine, model: Path, which: str) -> Judged:
    loaded = load_net(model)
    nets: dict[str, Net] = {"none": Silence(loaded.window), "int8": loaded}
    net = nets.get(which) or load_dense(model / WEIGHTS_FILE, loaded.name)
    score = judge(machine, net, 0.0 if which == "none" else NET_WEIGHT)
    return Judged(machine.name.partition("/")[0], machine.period_s, machine.label, score)


def _cases(judged: Sequence[Judged], threshold: float) -> tuple[Cases, float]:
    labels, scores = [one.label for one in judged], [one.score for one in judged]
    return at_threshold(labels, scores, [one.period_s for one in judged], threshold)
