"""Recorded experiments on a machine: a healthy start, then a labelled fault.

What flows in: a folder of csv files in the form of the Skoltech Anomaly Benchmark: `datetime;<channels>;anomaly;
changepoint`, a line a second. What flows out: Experiments in the order of time; their rows are without the labels.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_agent.detection.machine.statistics import Array
from models.datasets import DataError

START_ROWS = 400  # of the benchmark's protocol: the healthy start, which is not evaluated
SLOW = ("Temperature", "Thermocouple")  # left to the rows of a minute
_LABELS = ("anomaly", "changepoint")
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """`rows` (n, channels); `labels` (n,) true while the fault lasts, none where the recording has no labels."""

    name: str  # the path below the folder, without .csv
    began: str  # ISO time of the first row
    channels: tuple[str, ...]
    rows: Array
    labels: Labels | None


def load_experiments(folder: Path) -> list[Experiment]:
    """Read every csv below a folder, in the order of time. Raises DataError."""
    paths = sorted(folder.glob("*/*.csv"))
    if not paths:
        raise DataError(f"{folder}: no <group>/<experiment>.csv in this folder")
    return sorted((load_experiment(path, folder) for path in paths), key=lambda one: one.began)


def load_experiment(path: Path, folder: Path) -> Experiment:
    """Read one csv. Raises DataError that names the file, what is wrong, and the remedy."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head, *lines = list(csv.reader(file, delimiter=";")) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable csv file: {error}") from None
    channels = [name for name in head[1:] if name not in (*_LABELS, *SLOW)]
    if not channels or not lines:
        raise DataError(f"{path}: needs a head line datetime;<channels> and rows, separated by semicolons")
    if wrong := next((number for number, line in enumerate(lines, 2) if len(line) != len(head)), None):
        raise DataError(f"{path}: line {wrong} has {len(lines[wrong - 2])} fields for {len(head)} columns; delete it")
    try:
        rows = np.array([[float(line[head.index(name)]) for name in channels] for line in lines])
        marks = [float(line[head.index("anomaly")]) for line in lines] if "anomaly" in head else None
    except ValueError as error:
        raise DataError(f"{path}: {error}; every field must be a number") from None
    if not np.isfinite(rows).all():
        raise DataError(f"{path}: holds numbers that are not finite; delete these lines")
    return Experiment(
        name=path.relative_to(folder).with_suffix("").as_posix(),
        began=lines[0][0],
        channels=tuple(channels),
        rows=rows,
        labels=np.array(marks) > 0.5 if marks is not None and any(marks) else None,
    )


def labelled(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Return those with a fault after the healthy start; the others can't be evaluated."""
    return [one for one in experiments if one.labels is not None and one.labels[START_ROWS:].any()]


def folds_of(experiments: Sequence[Experiment], folds: int) -> list[list[Experiment]]:
    """Split experiments into groups that follow one another in time: neighbours are alike, and held out together."""
    if not 2 <= folds <= len(experiments):
        raise DataError(f"--folds {folds}: must be from 2 to the {len(experiments)} experiments")
    return [[experiments[place] for place in part] for part in np.array_split(np.arange(len(experiments)), folds)]
