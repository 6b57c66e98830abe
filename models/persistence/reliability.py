"""`python -m models reliability`: what the probability of a trend is worth, on machines that did not train it.

What flows in: a folder of telemetry. What flows out: the figures of a rule, of a logistic regression and of the network
on the same ramps, each machine held out in turn, and a table of what came true of what was claimed.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from edge_agent.detection.network import Array
from edge_agent.detection.trends.persistence_features import FEATURES
from models.dense_network import Examples, Training, logistic, train_dense
from models.persistence.probability_figures import figures, reliability
from models.persistence.telemetry_ramps import Samples, telemetry_samples
from models.persistence.training import fit, folds
from models.quantised_network import scaling_of
from models.report import insert, table

BEGIN, END = "<!-- reliability -->", "<!-- end of reliability -->"
RULE = ("distance", "duration", "noise", "curvature")  # about what a rule of trends knows
TRIES, MEASURED_TRIES = 1200, 400
LOGISTIC = Training(hidden=(), seed=1, epochs=60, patience=6, learning_rate=3e-3, decay=0.01)
Predict = Callable[[Array], Array]


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `reliability` and its options."""
    parser = commands.add_parser("reliability", help="what the probability of a trend is worth", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="of smd, asd, js2")
    parser.add_argument("--folds", type=int, default=4, help="in which machines are held out (default 4)")
    parser.add_argument("--tries", type=int, default=TRIES, help=f"in each channel, to train (default {TRIES})")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this document")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Extract, hold out, print."""
    telemetry = telemetry_samples(options.data, options.tries, options.seed)
    measured = telemetry_samples(options.data, MEASURED_TRIES, options.seed + 1)
    text = report(measured, probabilities(telemetry, measured, options.folds, options.seed))
    print(text)
    if options.write:
        insert(options.write, text, BEGIN, END)


def probabilities(telemetry: Samples, measured: Samples, count: int, seed: int) -> dict[str, Array]:
    """Return what each model claims of every measured ramp, trained without its machine."""
    found: dict[str, Array] = {}
    for number, out in enumerate(folds(measured.group, count)):
        print(f"holding out {', '.join(out)}", file=sys.stderr, flush=True)
        others = telemetry.where(~np.isin(telemetry.group, out))
        ours = np.isin(measured.group, out)
        for name, predict in _models(others, seed + number).items():
            found.setdefault(name, np.zeros(len(measured)))[ours] = predict(measured.features[ours])
    return found


def _models(samples: Samples, seed: int) -> Mapping[str, Predict]:
    fitted = fit(samples, None, seed)
    return {
        "rule: distance": logistic_regression(samples, ("distance",)),
        "rule: distance, duration, noise, curvature": logistic_regression(samples, RULE),
        f"logistic regression, {len(FEATURES)} features": logistic_regression(samples, FEATURES),
        f"network, {len(FEATURES)} features": fitted.probability,
    }


def logistic_regression(samples: Samples, names: tuple[str, ...]) -> Predict:
    """Return a logistic regression on some of the features."""
    picked = [FEATURES.index(name) for name in names]
    scaling = scaling_of(samples.features[:, picked])
    targets = samples.reaches.astype(np.float64)[:, np.newaxis]
    examples = Examples(inputs=scaling.scaled(samples.features[:, picked]), targets=targets)
    network = train_dense(examples, examples, LOGISTIC)
    return lambda features: logistic(network.run(scaling.scaled(features[:, picked])))[:, 0]


def report(measured: Samples, claimed: Mapping[str, Array]) -> str:
    """Return both tables as Markdown; the last model is the one that is shipped."""
    rows = []
    for name, probability in claimed.items():
        new = measured.new_ground
        everything = figures(measured.reaches, probability)
        ahead = figures(measured.reaches[new], probability[new])
        rows.append([name, *everything.cells(), f"{ahead.auc:.3f}", f"{ahead.precision:.3f}"])
    head = ["claimed by", "AUC", "Brier", "precision at half recall", "true of what is claimed with 70 %",
            "new ground: AUC", "precision at half recall"]  # fmt: skip
    shipped = list(claimed.values())[-1]
    tenths = [
        [f"{low:.0%} to {low + 0.1:.0%}", str(count), f"{mean:.1%}", f"{came:.1%}"]
        for low, count, mean, came in reliability(measured.reaches, shipped)
    ]
    return "\n\n".join(
        [
            f"{len(measured)} ramps of {len(set(measured.group.tolist()))} machines, each held out from training:",
            table(head, rows),
            "Claimed by the network, and came true:",
            table(["claimed", "ramps", "mean claimed", "came true"], tenths),
        ]
    )
