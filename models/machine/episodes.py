"""Episodes to train a classifier of machines on: a healthy start, then rows with labels.

What flows in: recordings of `edge-agent record` with a file of labels; or healthy recordings, into which faults are
injected; or virtual pumps. What flows out: Episodes.

A file of labels is csv with a head line: recording;first_s;last_s. Each line is a fault in the recording of this file
name, between two uptimes.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_agent.detection.machine.channels import filled
from edge_agent.detection.machine.sample_rate import LATEST_S, SOONEST_S
from edge_agent.detection.machine.statistics import Array
from edge_agent.machines.series_recording import SEPARATOR, TIME_COLUMN
from firmware_stubs.faults import PumpFault
from firmware_stubs.pump import FAST_CHANNELS, KINDS, VirtualPump
from models.datasets import DataError
from models.machine.experiments import Labels
from models.machine.injected import KINDS as INJECTED
from models.machine.injected import LASTS_S, injected

LABEL_COLUMNS = ["recording", "first_s", "last_s"]
HEALTHY_S, AFTER_S = 900, 120
PUMP_LASTS_S = (300.0, 1800.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """`rows` (n, channels) a second apart, the first `start_rows` healthy; `labels` (n,) true while a fault lasts."""

    name: str
    rows: Array
    labels: Labels
    start_rows: int


def read_recording(path: Path, series: Sequence[str]) -> tuple[Array, Array]:
    """Return uptimes (n,) and rows (n, series); a missing reading is the one before. Raises DataError."""
    try:
        head, *lines = list(csv.reader(_whole_lines(path), delimiter=SEPARATOR)) or [[]]
        if missing := [name for name in (TIME_COLUMN, *series) if name not in head]:
            raise DataError(f"{path}: has no column {missing[0]!r}; record it: edge-agent record --out FILE SERIES...")
        places = [head.index(name) for name in (TIME_COLUMN, *series)]
        values = np.array([_numbers(line, places, number) for number, line in enumerate(lines, start=2)])
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a recording of edge-agent record: {error}; record it again") from None
    if len(values) < 2 or not (np.diff(values[:, 0]) > 0).all():
        raise DataError(f"{path}: {len(values)} rows, whose uptimes must rise; a recording must not span a reboot")
    every_s = float(np.median(np.diff(values[:, 0])))
    if not SOONEST_S <= every_s < LATEST_S:
        raise DataError(f"{path}: its rows are {every_s:g} s apart; record one a second, as edge-agent record does")
    return values[:, 0], _filled(path, values[:, 1:])


def _whole_lines(path: Path) -> list[str]:
    """Return the lines of a file; a last one that a power cut has torn is left out, as its number may be another."""
    with path.open(newline="") as file:
        lines = file.read().splitlines(keepends=True)
    return lines if not lines or lines[-1].endswith("\n") else lines[:-1]


def _numbers(line: Sequence[str], places: Sequence[int], number: int) -> list[float]:
    """Return the fields of one line, NaN for an empty one. Raises ValueError naming the line."""
    try:
        found = [float(line[place] or "nan") for place in places]
    except (ValueError, IndexError):
        raise ValueError(f"line {number} is {SEPARATOR.join(line)[:80]!r}") from None
    if any(map(math.isinf, found)) or math.isnan(found[0]):
        raise ValueError(f"line {number} has a time or a value that is no finite number")
    return found


def _filled(path: Path, rows: Array) -> Array:
    if np.isnan(rows[0]).any():
        raise DataError(f"{path}: a series has no reading in the first row; delete the rows before it has one")
    return filled(rows)


def read_labels(path: Path) -> Mapping[str, list[tuple[float, float]]]:
    """Return the faults of each recording by its file name. Raises DataError."""
    try:
        with path.open(newline="") as file:
            head, *lines = list(csv.reader(file, delimiter=SEPARATOR)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a file of labels: {error}; write it anew as csv") from None
    if head != LABEL_COLUMNS:
        raise DataError(f"{path}: the first line must be {SEPARATOR.join(LABEL_COLUMNS)}")
    faults: dict[str, list[tuple[float, float]]] = {}
    for number, line in enumerate(lines, start=2):
        try:
            name, first_s, last_s = line[0], float(line[1]), float(line[2])
        except (IndexError, ValueError):
            raise DataError(
                f"{path}: line {number} must be {SEPARATOR.join(LABEL_COLUMNS)}; mend or delete it"
            ) from None
        if not 0 <= first_s <= last_s < math.inf:
            raise DataError(
                f"{path}: line {number}: a fault from {first_s:g} to {last_s:g}; its end must follow its begin"
            )
        faults.setdefault(name, []).append((first_s, last_s))
    return faults


def labelled_episode(
    path: Path, series: Sequence[str], faults: Sequence[tuple[float, float]], start_rows: int
) -> Episode:
    """Return a recording with its faults. Raises DataError if its start is too short, or has a fault in it."""
    times, rows = read_recording(path, series)
    labels = np.zeros(len(rows), np.bool_)
    for first_s, last_s in faults:
        labels |= (times >= first_s) & (times <= last_s)
    if len(rows) < start_rows + LASTS_S:
        raise DataError(
            f"{path}: {len(rows)} rows; needs a healthy start of {start_rows} and {LASTS_S} more: record longer"
        )
    if labels[:start_rows].any():
        raise DataError(f"{path}: a fault within the first {start_rows} s; these must be healthy: record again")
    return Episode(name=path.name, rows=rows, labels=labels, start_rows=start_rows)


def injected_episodes(healthy: Episode, seed: int) -> Iterator[Episode]:
    """Yield copies of a healthy recording, each with one kind of fault injected at a random time and channel."""
    rng = np.random.default_rng(seed)
    deviations = healthy.rows[: healthy.start_rows].std(axis=0)
    for number, kind in enumerate(INJECTED):
        first = int(rng.integers(healthy.start_rows, len(healthy.rows) - LASTS_S + 1))
        channel = int(rng.integers(healthy.rows.shape[1]))
        rows, labels = healthy.rows[: first + LASTS_S].copy(), np.zeros(first + LASTS_S, np.bool_)
        rows[first:, channel] = injected(rows[first:, channel], float(deviations[channel]), kind, seed + number)
        labels[first:] = True
        yield Episode(name=f"{healthy.name}/{kind}", rows=rows, labels=labels, start_rows=healthy.start_rows)


def pump_episodes(pumps: int, start_rows: int, seed: int) -> Iterator[Episode]:
    """Yield an episode of each virtual pump: a healthy start, a healthy time, then one fault until after its impact."""
    rng = np.random.default_rng(seed)
    for number in range(pumps):
        first = start_rows + HEALTHY_S
        fault = PumpFault(kind=KINDS[number % len(KINDS)], start_s=first, lasts_s=float(rng.uniform(*PUMP_LASTS_S)))
        pump = VirtualPump(f"{seed}/{number}", (fault,), float(rng.uniform(0.7, 1.3)))
        seconds = math.ceil(fault.impact_s) + AFTER_S
        readings = [pump.read(float(second)) for second in range(seconds)]
        yield Episode(
            name=f"pump {number}, {fault.kind}",
            rows=np.array([[reading[channel] for channel in FAST_CHANNELS] for reading in readings]),
            labels=np.arange(seconds) > first,
            start_rows=start_rows,
        )
