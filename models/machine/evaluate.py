"""`python -m models machine`: evaluate the detection of machines on recorded experiments.

What flows in: folders of experiments (models/machine/experiments.py) to set the bar on and to evaluate. What flows out:
for each experiment an npz with `alarm`, one boolean a row, which ../shared/bench/skab_judge.py reads.

Rows 0-399 of each experiment are its healthy start. The bar is set on other experiments: the factor of the device's own
bar that gives the best F1 at no more than .4 false alarms an hour. If --train and --data are one folder, groups of
experiments that follow one another in time are held out in turn.
"""

import argparse
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_agent.detection.machine.statistics import Array
from models.datasets import DataError
from models.machine.experiments import START_ROWS, Experiment, Labels, folds_of, labelled, load_experiments
from models.machine.figures import Figures, blind_detectors, figures
from models.machine.injected import false_per_hour, found_shares
from models.machine.replay import alarms_of, replay

FACTORS = tuple(np.round(np.arange(0.7, 1.51, 0.05), 2))
MOST_FALSE_PER_HOUR = 0.4
LONG_START_ROWS = 2000
Scores = Mapping[str, Array]
ScoresOf = Callable[[Sequence[Experiment], Sequence[Experiment]], dict[str, Array]]
"""From experiments to learn from, and experiments to score, to the scores of the latter by name."""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `machine` and its options."""
    parser = commands.add_parser("machine", help="evaluate the detection of machines", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--train", type=Path, required=True, metavar="DIR", help="experiments to set the bar on")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="experiments to evaluate")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the alarms go")
    parser.add_argument("--folds", type=int, default=8, metavar="N", help="groups held out in turn (default 8)")
    parser.add_argument(
        "--injected", type=int, default=24, metavar="N", help="injected faults of each kind (default 24)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Judge, write the alarms, print the figures."""
    known = load_experiments(options.train)
    same = options.train.resolve() == options.data.resolve()
    here = known if same else load_experiments(options.data)
    alarms = held_out_alarms(labelled(here), options.folds) if same else alarms_on(labelled(known), labelled(here))
    _write(alarms, options.out)
    report(labelled(here), alarms)
    report_injected([one for one in here if one.labels is None], options.injected)


def held_out_alarms(
    experiments: Sequence[Experiment], folds: int, scores_of: ScoresOf | None = None
) -> dict[str, Labels]:
    """Return the alarms of every experiment, the bar being set on the other groups."""
    alarms: dict[str, Labels] = {}
    for number, held_out in enumerate(folds_of(experiments, folds), 1):
        print(f"holding out group {number}: {', '.join(one.name for one in held_out)}", file=sys.stderr, flush=True)
        others = [one for one in experiments if one not in held_out]
        alarms |= alarms_on(others, held_out, scores_of)
    return alarms


def alarms_on(
    known: Sequence[Experiment], held_out: Sequence[Experiment], scores_of: ScoresOf | None = None
) -> dict[str, Labels]:
    """Return the alarms on experiments whose labels are not seen; the bar comes from those that are known."""
    scores = (scores_of or statistic_scores)(known, [*known, *held_out])
    factor = best_factor(known, scores)
    return {one.name: alarms_of(scores[one.name], START_ROWS, factor) for one in held_out}


def statistic_scores(_known: Sequence[Experiment], experiments: Sequence[Experiment]) -> dict[str, Array]:
    """Return the scores of the device's statistics: nothing is learned from other experiments."""
    return {one.name: _replayed_scores(one) for one in experiments}


_CACHE: dict[tuple[str, bytes], Array] = {}


def _replayed_scores(one: Experiment) -> Array:
    key = (one.name, hashlib.sha256(one.rows.tobytes()).digest())
    if key not in _CACHE:
        _CACHE[key] = replay(one.rows, START_ROWS).scores
    return _CACHE[key]


def best_factor(known: Sequence[Experiment], scores: Scores) -> float:
    """Return the factor of the bar with the best F1 at no more than .4 false alarms an hour; else the highest."""
    best, factor = -1.0, FACTORS[-1]
    for candidate in FACTORS:
        found = figures_of(known, {one.name: alarms_of(scores[one.name], START_ROWS, candidate) for one in known})
        if found.false_per_hour <= MOST_FALSE_PER_HOUR and found.f1 > best:
            best, factor = found.f1, candidate
    return float(factor)


def figures_of(experiments: Sequence[Experiment], alarms: Mapping[str, Labels]) -> Figures:
    """Return the figures of alarms on labelled experiments."""
    return figures([(_labels_of(one), alarms[one.name][START_ROWS:]) for one in experiments])


def _labels_of(one: Experiment) -> Labels:
    assert one.labels is not None
    return one.labels[START_ROWS:]


def report(experiments: Sequence[Experiment], alarms: Mapping[str, Labels]) -> None:
    """Print the figures, and beside them those of detectors that read no sensor."""
    print(f"{len(experiments)} experiments: {figures_of(experiments, alarms).line()}")
    blind = blind_detectors([_labels_of(one) for one in experiments], START_ROWS)
    print("without any sensor: " + ", ".join(f"{name} F1 {f1:.2f}" for name, f1 in blind.items()))


def report_injected(healthy: Sequence[Experiment], each: int) -> None:
    """Print how many faults injected into long healthy recordings the device finds with its own bar."""
    for one in healthy:
        if not each or len(one.rows) < 2 * LONG_START_ROWS:
            continue
        found = found_shares(one.rows, LONG_START_ROWS, each)
        false = false_per_hour(one.rows, LONG_START_ROWS)
        shares = ", ".join(f"{kind} {share:.2f}" for kind, share in found.items())
        print(
            f"injected into {one.name}: {shares}; mean {np.mean(list(found.values())):.2f} at {false:.2f} false an hour"
        )


def _write(alarms: Mapping[str, Labels], folder: Path) -> None:
    for name, alarm in alarms.items():
        target = (folder / name).with_suffix(".npz")
        if target.exists() and not target.is_file():
            raise DataError(f"{target}: is no file; give another --out")
        target.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(target, alarm=alarm)
