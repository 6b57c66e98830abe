"""Ramps in real telemetry, with their outcome: what the persistence network is trained on without labels.

What flows in: a folder of machines (models/datasets.py) and a seed. What flows out: Samples: features and whether the
limit was reached. The series are replayed through the same summary and the same features as on a device.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_agent.detection.trends.multiscale_window import POINTS, Array
from edge_agent.detection.trends.persistence_features import REACH, Ramp, persistence_features
from edge_agent.detection.trends.series_past import COARSE, DAY_S, FINE, Bins, Past
from models.datasets import DEFAULT_PERIOD_S, PERIODS_S, DataError

FLEETS = ("smd", "asd", "js2")
WATCHED_MIN = (15, 30, 60, 120, 240, 480)
DISTANCES = (0.5, 1.0, 2.0, 3.0)
LEAST_ROWS = 6
MORE_TRIES = {"smd": 3}  # of a fleet whose channels have few ramps
ROUGHEST = {60.0: 0.05, 300.0: 0.12}  # steps against the deviation, by period: rougher channels have no limit
STRAIGHT = 4.0  # a ramp rises by this many deviations from its line, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryRamp:
    """A steady rise (or fall) over the rows before `end`, and a limit ahead; as the judge of ramps defines them."""

    file: str
    channel: int
    end: int
    watched: int
    up: bool
    limit: float
    new_ground: bool = False
    reaches: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Features (n, FEATURES), whether each limit was reached, whether it is new ground, and its group (machine)."""

    features: Array
    reaches: npt.NDArray[np.bool_]
    new_ground: npt.NDArray[np.bool_]
    group: npt.NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.reaches)

    def where(self, picked: npt.NDArray[np.bool_]) -> "Samples":
        """Return some of the samples."""
        return Samples(
            features=self.features[picked], reaches=self.reaches[picked], new_ground=self.new_ground[picked],
            group=self.group[picked],
        )  # fmt: skip


def joined(parts: Sequence[Samples]) -> Samples:
    """Return all samples of several parts."""
    return Samples(
        features=np.concatenate([part.features for part in parts]),
        reaches=np.concatenate([part.reaches for part in parts]),
        new_ground=np.concatenate([part.new_ground for part in parts]),
        group=np.concatenate([part.group for part in parts]),
    )


class BinnedChannel:
    """A whole channel in bins, which gives the past at any row as SeriesPast would have kept it."""

    def __init__(self, values: Array, period_s: float) -> None:
        self._values = values
        self._resolutions = [_binned(values, spacing_s, most, period_s) for spacing_s, most in (FINE, COARSE)]

    def past(self, end: int) -> Past:
        """Return the past before row `end`, which must be at least 1."""
        fine, coarse = (one.before(self._values, end) for one in self._resolutions)
        return Past(fine, coarse)


@dataclass(frozen=True, slots=True)
class _BinnedRows:
    spacing_s: float
    most: int
    rows: int  # in a bin
    bins: Array  # (3, bins): lowest, highest, last

    def before(self, values: Array, end: int) -> Bins:
        closed = (end - 1) // self.rows
        rows = values[closed * self.rows : end].astype(np.float32)
        opened = np.array([[rows.min()], [rows.max()], [rows[-1]]])
        whole = np.concatenate([self.bins[:, max(0, closed - self.most) : closed], opened], axis=1)
        return Bins(self.spacing_s, *whole.astype(np.float64))


def _binned(values: Array, spacing_s: float, most: int, period_s: float) -> _BinnedRows:
    rows = round(spacing_s / period_s)
    whole = values[: len(values) // rows * rows].reshape(-1, rows)
    bins = np.stack([whole.min(axis=1), whole.max(axis=1), whole[:, -1]]).astype(np.float32).astype(np.float64)
    return _BinnedRows(spacing_s, most, rows, bins)


def channels(data: Path, file: str) -> tuple[Array, float]:
    """Return all rows of a machine (n, channels), train and test joined, and the period. Raises DataError."""
    path = data / file
    try:
        with np.load(path, allow_pickle=False) as arrays:
            rows = np.concatenate([arrays["train"], arrays["test"]]).astype(np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: can't be read ({error}); name a folder that holds it with --data") from None
    return rows, PERIODS_S.get(file.partition("/")[0], DEFAULT_PERIOD_S)


def files(data: Path) -> list[str]:
    """Return the machines of the fleets that have ramps. Raises DataError if there is none."""
    found = [f"{fleet}/{path.name}" for fleet in FLEETS for path in sorted((data / fleet).glob("*.npz"))]
    if not found:
        raise DataError(f"{data}: no smd/, asd/ or js2/ with <machine>.npz in this folder")
    return found


def find_ramps(rows: Array, period_s: float, file: str, tries: int, rng: np.random.Generator) -> list[TelemetryRamp]:
    """Return ramps at random places of every smooth channel, `tries` tries each."""
    found = []
    for channel in range(rows.shape[1]):
        values = rows[:, channel]
        if _smooth(values, period_s):
            tried = (_ramp(values, period_s, (file, channel), rng) for _ in range(tries))
            found += [ramp for ramp in tried if ramp]
    return found


def _smooth(values: Array, period_s: float) -> bool:
    deviation = values.std()
    roughest = ROUGHEST.get(period_s, 0.12)
    return bool(deviation > 1e-6 and len(np.unique(values)) >= 50 and np.diff(values).std() <= roughest * deviation)


def _ramp(values: Array, period_s: float, where: tuple[str, int], rng: np.random.Generator) -> TelemetryRamp | None:
    day = round(DAY_S / period_s)
    watched, distance = int(rng.choice(WATCHED_MIN) * 60 // period_s), float(rng.choice(DISTANCES))
    ahead = int(REACH * distance * watched) + 1
    if watched < LEAST_ROWS or len(values) < day + watched + ahead + 2:
        return None
    end = int(rng.integers(day + watched, len(values) - ahead - 1))
    window, times = values[end - watched : end], np.arange(watched) - (watched - 1) / 2
    slope = float(times @ window / (times @ times))
    sign = 1.0 if slope > 0 else -1.0
    third = watched // 3
    first, middle, last = (np.median(sign * part) for part in (window[:third], window[third:-third], window[-third:]))
    deviation = float(np.std(window - slope * times))
    before = sign * values[max(0, end - 7 * day) : end]
    if not first < middle < last or abs(slope) * watched < STRAIGHT * deviation or last < np.median(before[-day:]):
        return None
    limit = float(window.mean() + slope * (watched - 1) / 2 + slope * distance * watched)
    return TelemetryRamp(
        file=where[0], channel=where[1], end=end, watched=watched, up=slope > 0, limit=limit,
        new_ground=bool(before.max() < sign * limit),
        reaches=bool((sign * values[end : end + ahead]).max() >= sign * limit),
    )  # fmt: skip


def features_of(ramp: TelemetryRamp, values: Array, past: Past, period_s: float) -> Array:
    """Return the features of a ramp as the device computes them, its points averaged to a window of the trends."""
    sign = 1.0 if ramp.up else -1.0
    window = sign * values[ramp.end - ramp.watched : ramp.end]
    rows = -(-ramp.watched // POINTS)
    window = window[len(window) % rows :].reshape(-1, rows).mean(axis=1)
    times = np.arange(len(window), dtype=np.float64) * (rows * period_s)
    return persistence_features(Ramp(t=times, v=window, limit=sign * ramp.limit), past if ramp.up else past.flipped())


def telemetry_samples(data: Path, tries: int, seed: int) -> Samples:
    """Return samples of all machines, with progress on stderr."""
    parts = list(_samples(data, tries, seed))
    return joined(parts)


def _samples(data: Path, tries: int, seed: int) -> Iterator[Samples]:
    for number, file in enumerate(files(data)):
        rows, period_s = channels(data, file)
        more = MORE_TRIES.get(file.partition("/")[0], 1)
        ramps = find_ramps(rows, period_s, file, more * tries, np.random.default_rng([seed, number]))
        print(f"{file}: {len(ramps)} ramps", file=sys.stderr, flush=True)
        if ramps:
            yield samples_of(ramps, rows, period_s)


def samples_of(ramps: Sequence[TelemetryRamp], rows: Array, period_s: float) -> Samples:
    """Return the samples of ramps of one machine, in their order."""
    binned = {ramp.channel: BinnedChannel(rows[:, ramp.channel], period_s) for ramp in ramps}
    features = [
        features_of(ramp, rows[:, ramp.channel], binned[ramp.channel].past(ramp.end), period_s) for ramp in ramps
    ]
    return Samples(
        features=np.array(features),
        reaches=np.array([ramp.reaches for ramp in ramps]),
        new_ground=np.array([ramp.new_ground for ramp in ramps]),
        group=np.array([ramp.file for ramp in ramps]),
    )
