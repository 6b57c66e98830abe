"""`python -m models train`: makes the network that devices ship with, from unlabelled telemetry.

What flows in: a folder of telemetry (models/datasets.py) and a seed. What flows out: an artifact folder with
model.tflite (int8), float32.npz (the same weights before rounding), manifest.json and card.md.
Nothing in it depends on the time or place of training, so that training again gives the same bytes.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edge_agent.detection.baseline import Array
from edge_agent.detection.scoring import FEATURE_VERSION, FEATURES
from edge_agent.model import MANIFEST_FILE, MODEL_FILE, TfliteNet
from models.card import CARD_FILE, card
from models.datasets import Machine, Stream, load_fleets, load_streams
from models.dense import WEIGHTS_FILE, DenseNet, save_weights
from models.events import Labels
from models.examples import WINDOW, Examples, examples_of
from models.faults import KINDS, Mark
from models.fitting import LAYERS, TrainingError, check_tensorflow, fit
from models.ranking import auc_pr, auc_roc

NAME = "shapes"
HELD_OUT_EVERY = 5  # of the series, by name; never trained on
MOST_INT8_LOSS = 0.02  # of AUC-PR on held-out examples, or the network isn't written


class Figures(NamedTuple):
    """What was measured on held-out series with synthetic faults."""

    examples_trained: int
    examples_held_out: int
    auc_pr_float: float
    auc_pr_int8: float
    int8_mean_difference: float
    int8_largest_difference: float
    auc_roc_by_kind: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What decides the bytes, besides data and library versions."""

    version: str
    seed: int
    epochs: int

    @property
    def command(self) -> str:
        """How to do it again."""
        return (
            f"python -m models train --data DATA --out OUT --seed {self.seed} --epochs {self.epochs} "
            f"--model-version {self.version}"
        )


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `train` and its options."""
    parser = commands.add_parser("train", help="make an artifact from unlabelled telemetry", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of telemetry")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to make the artifact's folder")
    parser.add_argument("--seed", type=int, default=7, help="of everything that is random (default 7)")
    parser.add_argument("--epochs", type=_positive, default=12, help="passes over the examples (default 12)")
    parser.add_argument("--model-version", default="1", help="version in the artifact's name (default 1)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Train, round to int8, measure, write."""
    recipe = Recipe(version=options.model_version, seed=options.seed, epochs=options.epochs)
    libraries = check_tensorflow()
    machines, streams = load_fleets(options.data), load_streams(options.data)
    trained, held_out = gather(machines, streams, recipe.seed)
    _say(f"training on {len(trained.targets)} windows, {len(held_out.targets)} held out")
    content, weights = fit(trained, recipe.seed, recipe.epochs)
    repeatable = fit(trained, recipe.seed, recipe.epochs)[0] == content
    name = f"{NAME}-{recipe.version}"
    figures = measure(TfliteNet(name, WINDOW, content), DenseNet(name, weights), trained, held_out)
    folder = options.out / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(content)
    save_weights(folder / WEIGHTS_FILE, weights)
    manifest = describe(recipe, content, figures, [*machines, *streams]) | {
        "libraries": libraries,
        "repeatable": repeatable,
    }
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n")
    (folder / CARD_FILE).write_text(card(manifest))
    print(f"{folder}: {len(content)} bytes, sha256 {manifest['sha256']}")


def gather(machines: Sequence[Machine], streams: Sequence[Stream], seed: int) -> tuple[Examples, Examples]:
    """Make examples of every series' unlabelled rows: (to train on, held out)."""
    series = [(m.name, m.train, m.period_s) for m in machines]
    series += [(s.name, s.values[:, np.newaxis], s.period_s) for s in streams]
    lots: tuple[list[Examples], list[Examples]] = ([], [])
    for number, (name, rows, period_s) in enumerate(sorted(series, key=lambda one: one[0])):
        _say(f"{number + 1}/{len(series)} {name}")
        examples = examples_of(rows, period_s, np.random.default_rng([seed, number]))
        lots[number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1].append(examples)
    if not all(lot and len(Examples.join(lot).targets) for lot in lots):
        raise TrainingError(f"{len(series)} series are too few or too short to train on and to hold some out")
    return Examples.join(lots[0]), Examples.join(lots[1])


def measure(net: TfliteNet, dense: DenseNet, trained: Examples, held_out: Examples) -> Figures:
    """Compare int8 with float on held-out examples. Raises TrainingError if rounding lost too much."""
    exact, rounded = dense.judge(held_out.windows), net.judge(held_out.windows)
    label = held_out.targets == 1
    difference = np.abs(exact - rounded)
    figures = Figures(
        examples_trained=len(trained.targets),
        examples_held_out=len(held_out.targets),
        auc_pr_float=auc_pr(label, exact.astype(np.float64)),
        auc_pr_int8=auc_pr(label, rounded.astype(np.float64)),
        int8_mean_difference=float(difference.mean()),
        int8_largest_difference=float(difference.max()),
        auc_roc_by_kind=by_kind(held_out, rounded.astype(np.float64)),
    )
    if not figures.auc_pr_float - figures.auc_pr_int8 <= MOST_INT8_LOSS:
        raise TrainingError(f"int8 loses too much: AUC-PR {figures.auc_pr_float:.4f} -> {figures.auc_pr_int8:.4f}")
    return figures


def by_kind(examples: Examples, judged: Array) -> dict[str, float]:
    """For each kind of fault, how often its windows are judged more unusual than usual ones."""
    usual, found = examples.marks == Mark.USUAL, {}
    for number, kind in enumerate(KINDS):
        label: Labels = examples.marks == Mark.FAULT + number
        found[kind] = auc_roc(label[label | usual], judged[label | usual])
    return found


def describe(recipe: Recipe, content: bytes, figures: Figures, series: Sequence[Machine | Stream]) -> dict[str, Any]:
    """Return the manifest: all that a loader checks, and all that is needed to train again."""
    quantisation = TfliteNet(NAME, WINDOW, content).quantisation
    return {
        "name": NAME,
        "version": recipe.version,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "features": list(FEATURES),
        "feature_version": FEATURE_VERSION,
        "window": WINDOW,
        "step_s": 60,
        "layers": [WINDOW, *LAYERS, 1],
        "quantisation": {part: {"scale": s, "zero_point": z} for part, (s, z) in quantisation.items()},
        "calibration": _rounded(figures._asdict()),
        "command": recipe.command,
        "seed": recipe.seed,
        "data": {one.name: one.sha256 for one in sorted(series, key=lambda one: one.name)},
    }


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: _rounded(v) if isinstance(v, dict) else round(v, 4) for key, v in figures.items()}


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
