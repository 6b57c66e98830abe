"""Telemetry to train on, to replay and to measure with.

What flows in: files of fleets and streams. What flows out: Machines and Streams, each with the SHA-256 of its
file, in the order of their names.

    <folder>/<fleet>/<machine>.npz              train (n, channels), test (m, channels), label (m,) 0 or 1;
                                                optional period_s, the seconds between two rows
    <folder>/nab/<category>/<stream>.csv        timestamp,value

Readings that are no finite number are left to the Scorer, which drops and counts them.
"""

import csv
import hashlib
import zipfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_agent.detection.anomaly.baseline import Array

PERIODS_S = {"smd": 60.0, "asd": 300.0}
"""Periods of the public fleets, whose files have none."""
DEFAULT_PERIOD_S = 300.0

Arrays = dict[str, npt.NDArray[np.generic]]


class DataError(ValueError):
    """A file is not what it should be; the message is one line that names it and, where there is one, the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine: an unlabelled past, and a labelled present (label 1 = an incident was under way)."""

    name: str
    sha256: str
    period_s: float
    train: Array
    test: Array
    label: npt.NDArray[np.bool_]

    @property
    def fleet(self) -> str:
        """The folder it came from."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One metric over time, without labels. `period_s` is the middle one of the steps that lead forward."""

    name: str
    sha256: str
    period_s: float
    times: npt.NDArray[np.datetime64]
    values: Array

    @property
    def steps_amiss(self) -> int:
        """How many timestamps are not later than the one before."""
        return int((np.diff(self.times) <= np.timedelta64(0, "us")).sum())


def load_fleets(folder: Path, given_period_s: float | None = None) -> list[Machine]:
    """Read every machine of every fleet. Raises DataError if there is none, or one is malformed."""
    return [load_machine(path, given_period_s) for path in fleet_paths(folder)]


def fleet_paths(folder: Path) -> list[Path]:
    """Return the files of all fleets. Raises DataError if there is none."""
    paths = sorted(folder.glob("*/*.npz"))
    if not paths:
        raise DataError(f"{folder}: no <fleet>/<machine>.npz in this folder")
    return paths


def stream_paths(folder: Path) -> list[Path]:
    """Return the files of all streams; a folder without any gives an empty list."""
    return sorted(folder.glob("nab/*/*.csv"))


def load_streams(folder: Path) -> list[Stream]:
    """Read every stream; a folder without any gives an empty list."""
    return [load_stream(path) for path in stream_paths(folder)]


def load_machine(path: Path, given_period_s: float | None = None) -> Machine:
    """Read one npz file with labels. Raises DataError."""
    arrays = read_npz(path)
    if "label" not in arrays:
        raise DataError(f"{path}: has no label")
    train, test = read_rows(path, arrays)
    label = arrays["label"].ravel()
    if len(label) != len(test) or not np.isin(label, (0, 1)).all():
        shapes = f"test {test.shape}, label {label.shape}"
        raise DataError(f"{path}: label must be 0 or 1 for each row of test: {shapes}")
    return Machine(
        name=f"{path.parent.name}/{path.stem}",
        sha256=_sha256(path),
        period_s=period_of(path, arrays, given_period_s),
        train=train,
        test=test,
        label=label.astype(np.bool_),
    )


def read_npz(path: Path) -> Arrays:
    """Read all arrays of a file. Raises DataError."""
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            return {key: np.asarray(archive[key]) for key in archive.files}
    except (AttributeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a readable npz file: {' '.join(str(error).split())}") from None


def read_rows(path: Path, arrays: Arrays) -> tuple[Array, Array]:
    """Return `train` and `test`, checked. Raises DataError."""
    if missing := {"train", "test"} - arrays.keys():
        raise DataError(f"{path}: has no {', '.join(sorted(missing))}; put rows (n, channels) under that name")
    train, test = arrays["train"], arrays["test"]
    shapes = f"train {train.shape}, test {test.shape}"
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise DataError(
            f"{path}: train and test must be rows of the same channels: {shapes}; make both (rows, channels)"
        )
    if not test.size:
        raise DataError(f"{path}: test is empty: {shapes}; there is nothing to score")
    if not all(part.dtype.kind in "iuf" for part in (train, test)):
        raise DataError(f"{path}: train and test must be numbers: {train.dtype}, {test.dtype}; save them as float64")
    return train.astype(np.float64), test.astype(np.float64)


def period_of(path: Path, arrays: Arrays, given_period_s: float | None) -> float:
    """Seconds between two rows: from the file, else as given, else as known for the fleet, else the default."""
    if "period_s" in arrays:
        own = arrays["period_s"].ravel()
        period_s = float(own[0]) if own.size == 1 and own.dtype.kind in "iuf" else float("nan")
    else:
        period_s = given_period_s or PERIODS_S.get(path.resolve().parent.name, DEFAULT_PERIOD_S)
    if not 0 < period_s < np.inf:
        raise DataError(f"{path}: period_s must be one positive number of seconds between two rows")
    return period_s


def load_stream(path: Path) -> Stream:
    """Read one csv file. Raises DataError."""
    times: list[datetime] = []
    values: list[float] = []
    for number, row in enumerate(_csv_rows(path), start=2):
        try:
            times.append(datetime.fromisoformat(row["timestamp"]).replace(tzinfo=None))
            values.append(float(row["value"] or "nan"))
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{path}: line {number} is not timestamp,value; mend or delete the line") from None
    if len(times) < 2:
        raise DataError(f"{path}: {len(times)} rows are too few")
    stamps = np.array(times, "datetime64[us]")
    steps_s = np.diff(stamps) / np.timedelta64(1, "s")
    if not (steps_s > 0).any():
        raise DataError(f"{path}: no timestamp is later than the one before; put the rows into the order of time")
    return Stream(
        name=f"nab/{path.resolve().parent.name}/{path.stem}",
        sha256=_sha256(path),
        period_s=float(np.median(steps_s[steps_s > 0])),
        times=stamps,
        values=np.array(values),
    )


def _csv_rows(path: Path) -> list[dict[str, str]]:
    """Return the lines by the names of the head line. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := {"timestamp", "value"} - set(reader.fieldnames or ()):
                raise DataError(
                    f"{path}: has no column {', '.join(sorted(missing))}; the first line must be timestamp,value"
                )
            return list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable csv file: {error}") from None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
