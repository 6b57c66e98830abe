"""Telemetry to train on and to measure with.

What flows in: a folder that holds fleets and streams. What flows out: Machines and Streams, each with the
SHA-256 of its file, in the order of their names.

    <folder>/<fleet>/<machine>.npz              train (n, channels), test (m, channels), label (m,) 0 or 1;
                                                optional period_s, the seconds between two rows
    <folder>/nab/<category>/<stream>.csv        timestamp,value
"""

import csv
import hashlib
import itertools
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_agent.detection.baseline import Array

PERIODS_S = {"smd": 60.0, "asd": 300.0}
"""Of the public fleets, whose files don't say."""


class DataError(ValueError):
    """A file is not what it should be; the message is one line that names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine: an unlabelled past, and a labelled present (label 1 = an incident was under way)."""

    name: str
    sha256: str
    period_s: float
    train: Array
    test: Array
    label: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One metric over time, without labels."""

    name: str
    sha256: str
    period_s: float
    values: Array


def load_fleets(folder: Path) -> list[Machine]:
    """Read every machine of every fleet. Raises DataError if there is none, or one is malformed."""
    paths = sorted(folder.glob("*/*.npz"))
    if not paths:
        raise DataError(f"{folder}: no <fleet>/<machine>.npz in this folder")
    return [load_machine(path) for path in paths]


def load_streams(folder: Path) -> list[Stream]:
    """Read every stream; a folder without any gives an empty list."""
    return [load_stream(path) for path in sorted(folder.glob("nab/*/*.csv"))]


def load_machine(path: Path) -> Machine:
    """Read one npz file. Raises DataError."""
    name = f"{path.parent.name}/{path.stem}"
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            arrays = {key: np.asarray(archive[key]) for key in archive.files}
    except (AttributeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable npz file: {error}") from None
    if missing := {"train", "test", "label"} - arrays.keys():
        raise DataError(f"{path}: has no {', '.join(sorted(missing))}")
    train, test, label = arrays["train"], arrays["test"], arrays["label"].ravel()
    _check_shapes(path, train, test, label)
    period_s = float(arrays["period_s"]) if "period_s" in arrays else PERIODS_S.get(path.parent.name)
    if period_s is None or not 0 < period_s < np.inf:
        raise DataError(f"{path}: needs period_s, a positive number of seconds between two rows")
    return Machine(
        name=name,
        sha256=_sha256(path),
        period_s=period_s,
        train=train.astype(np.float64),
        test=test.astype(np.float64),
        label=label.astype(np.bool_),
    )


def load_stream(path: Path) -> Stream:
    """Read one csv file. Raises DataError."""
    times: list[datetime] = []
    values: list[float] = []
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                times.append(datetime.fromisoformat(row["timestamp"]))
                values.append(float(row["value"]))
            except (KeyError, TypeError, ValueError):
                raise DataError(f"{path}: line {number} is not timestamp,value") from None
    if len(times) < 2:
        raise DataError(f"{path}: {len(times)} rows are too few")
    steps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(times)]
    return Stream(
        name=f"nab/{path.parent.name}/{path.stem}",
        sha256=_sha256(path),
        period_s=float(np.median(steps)),
        values=np.array(values),
    )


def _check_shapes(path: Path, train: npt.NDArray[np.generic], test: npt.NDArray[np.generic], label: Array) -> None:
    shapes = f"train {train.shape}, test {test.shape}, label {label.shape}"
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise DataError(f"{path}: train and test must be rows of the same channels: {shapes}")
    if len(label) != len(test) or not np.isin(label, (0, 1)).all():
        raise DataError(f"{path}: label must be 0 or 1 for each row of test: {shapes}")
    if not all(np.issubdtype(part.dtype, np.number) for part in (train, test)):
        raise DataError(f"{path}: train and test must be numbers: {train.dtype}, {test.dtype}")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
