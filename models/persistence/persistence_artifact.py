"""`python -m models train persistence`: makes the artifact persistence-<version>.

What flows in: labelled-by-the-future ramps of telemetry (--data) and of simulated scenarios, and a seed. What flows
out: the artifact folder, with figures of machines held out in turn, in floating point and in int8. Nothing in it
depends on the time or place of training. Needs the extra `train`.
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from edge_agent.artifacts.tflite_network import load_network
from edge_agent.detection.network import Array
from edge_agent.detection.trends.persistence_features import FEATURES
from models.datasets import DataError
from models.dense_network import logistic
from models.persistence.probability_figures import figures, reliability
from models.persistence.scenario_ramps import scenario_samples
from models.persistence.telemetry_ramps import Samples, files, joined, telemetry_samples
from models.persistence.training import TEACHERS, Fitted, fit, folds
from models.quantised_network import Ends, TrainingError, libraries, to_int8, write_artifact
from models.scenarios import FAULTY, LOOKALIKES

NAME = "persistence"
TRIES, MEASURED_TRIES = 1200, 400  # places that are tried in each channel, to train and to measure
SCENARIO_SEEDS = range(1, 9)
_PARTS = ("telemetry", "measured", "scenarios")
_ARRAYS = ("features", "reaches", "new_ground", "group")
_CARD = """# {name}

Tells whether a trend reaches its limit within one and a half times the predicted time: {features} features of the
trend, of the last week of its series and of what the host did meanwhile; output: a logit. {weights} weights, int8.

## How it was made

    {command}

Ramps in {files} machines of public telemetry (no labels: whether a ramp got there is in the telemetry itself), and in
{families} simulated families of named metrics. {teachers} teachers, and one net that imitates their mean. The same
command gives the same bytes. Libraries: {libraries}.

## Figures: {ramps} ramps, each machine held out from training in {folds} folds

| | AUC | Brier score | precision at half recall | of what is claimed with 70 % or more, true |
|---|---|---|---|---|
{rows}

## Limits

- The machines are servers and applications whose metrics lost their names; no board has taught it.
- On new ground (a limit not reached in the week before) few ramps come true, so these figures are wide.
- Scenarios are simulations: shares of look-alikes and faults there are not those of a fleet.
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe `train persistence` and its options."""
    parser = commands.add_parser(NAME, help="the network that tells whether a trend goes on", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_extraction(parser)
    parser.add_argument("--out", type=Path, default=Path("models/artifacts"), metavar="DIR")
    parser.add_argument("--model-version", default="2", help="version in the artifact's name (default 2)")
    parser.set_defaults(run=run)


def add_extraction(parser: argparse.ArgumentParser) -> None:
    """Describe the options of `extracted`, and how to hold out."""
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), metavar="DIR", help="of smd, asd, js2")
    parser.add_argument("--seed", type=int, default=7, help="of everything that is random (default 7)")
    parser.add_argument("--folds", type=int, default=4, help="in which groups are held out (default 4)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a processor)")
    parser.add_argument(
        "--samples", type=Path, metavar="FILE", help="keep the extracted ramps, or take them from there"
    )


def run(options: argparse.Namespace) -> None:
    """Extract, cross-validate, train, round and write."""
    try:
        versions = libraries()
    except TrainingError as error:
        raise DataError(str(error)) from None
    telemetry, measured, scenarios = extracted(options)
    folder = options.out / f"{NAME}-{options.model_version}"
    rows = held_out(telemetry, scenarios, measured, folder, options)
    fitted = fit(telemetry, scenarios, options.seed)
    content = to_int8([fitted.network], representative(fitted, telemetry, scenarios))
    command = f"python -m models train {NAME} --seed {options.seed} --model-version {options.model_version}"
    training = {
        "command": command,
        "seed": options.seed,
        "libraries": versions,
        "ramps": {"telemetry": len(telemetry), "scenarios": len(scenarios)},
        "held_out": {name: asdict(figures(*parts)) for name, parts in rows.items()},
        "reliability": [list(row) for row in reliability(*rows["int8, all"])],
        "weights": fitted.network.weights,
    }
    ends = Ends(features=FEATURES, outputs=("logit",), scaling=fitted.scaling)
    fields = {
        "name": folder.name, "features": len(FEATURES), "weights": fitted.network.weights, "command": command,
        "files": len(files(options.data)), "families": len(LOOKALIKES) + len(FAULTY), "teachers": TEACHERS,
        "libraries": ", ".join(f"{name} {number}" for name, number in versions.items()), "ramps": len(measured),
        "folds": options.folds, "rows": "\n".join(_row(name, *parts) for name, parts in rows.items()),
    }  # fmt: skip
    write_artifact(folder, content, ends, training=training, card=_CARD.format_map(fields))
    print(f"{folder}: {len(content)} bytes")


Claimed = tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], Array]


def held_out(
    telemetry: Samples, scenarios: Samples, measured: Samples, folder: Path, options: argparse.Namespace
) -> dict[str, Claimed]:
    """Return outcome and probability of measured ramps by nets that have not seen their machine, float and int8."""
    floats, rounded = np.zeros(len(measured)), np.zeros(len(measured))
    for number, out in enumerate(folds(measured.group, options.folds)):
        print(f"holding out {', '.join(out)}", file=sys.stderr, flush=True)
        fitted = fit(telemetry.where(~np.isin(telemetry.group, out)), scenarios, options.seed + number)
        ours = np.isin(measured.group, out)
        floats[ours] = fitted.probability(measured.features[ours])
        content = to_int8([fitted.network], representative(fitted, telemetry, scenarios))
        rounded[ours] = int8_probability(folder.parent, content, fitted, measured.features[ours])
    new = measured.new_ground
    return {
        f"{kind}, {which}": (measured.reaches[picked], probability[picked])
        for kind, probability in (("float", floats), ("int8", rounded))
        for which, picked in (("all", np.ones(len(new), np.bool_)), ("new ground", new))
    }


def int8_probability(parent: Path, content: bytes, fitted: Fitted, features: Array) -> Array:
    """Return the probabilities of the rounded network, run as a device runs it."""
    folder = parent / "held-out-0"
    ends = Ends(features=FEATURES, outputs=("logit",), scaling=fitted.scaling)
    write_artifact(folder, content, ends, training={}, card="")
    try:
        return logistic(load_network(folder, FEATURES).check().run(features))[:, 0]
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def representative(fitted: Fitted, telemetry: Samples, scenarios: Samples) -> Array:
    """Return the scaled inputs that set the ranges of int8: half of telemetry, half of scenarios."""
    step = max(1, len(telemetry) // max(1, len(scenarios)))
    return fitted.scaling.scaled(np.concatenate([telemetry.features[::step], scenarios.features]))


def extracted(options: argparse.Namespace) -> tuple[Samples, Samples, Samples]:
    """Return the samples to train on, those to measure with, and the scenarios; kept in a file if one is named."""
    if options.samples and options.samples.exists():
        with np.load(options.samples, allow_pickle=False) as arrays:
            one, other, third = (Samples(**{name: arrays[f"{part}_{name}"] for name in _ARRAYS}) for part in _PARTS)
        return one, other, third
    parts = (
        telemetry_samples(options.data, TRIES, options.seed),
        telemetry_samples(options.data, MEASURED_TRIES, options.seed + 1),
        all_scenarios(options.jobs),
    )
    if options.samples:
        found = zip(_PARTS, parts, strict=True)
        np.savez(
            options.samples,
            **{f"{part}_{name}": getattr(samples, name) for part, samples in found for name in _ARRAYS},
        )
    return parts


def all_scenarios(jobs: int) -> Samples:
    """Return the samples of all families and training seeds."""
    families = [*LOOKALIKES, *FAULTY]
    with ProcessPoolExecutor(max(1, jobs), multiprocessing.get_context("spawn")) as processes:
        parts: list[Samples] = []
        for family, found in zip(
            families, processes.map(partial(_family, seeds=SCENARIO_SEEDS), families), strict=True
        ):
            print(f"{family}: {sum(map(len, found))} ramps", file=sys.stderr, flush=True)
            parts += found
    return joined(parts)


def _family(family: str, seeds: Sequence[int]) -> list[Samples]:
    return list(scenario_samples([family], seeds))


def _row(name: str, outcome: np.ndarray[tuple[int], np.dtype[np.bool_]], probability: Array) -> str:
    return f"| {name} | {' | '.join(figures(outcome, probability).cells())} |"
