"""One score for a whole device: how unusual are its last rows, and which channels carry that.

What flows in: samples (`{series: value}` with their uptime). What flows out: one Score for each finished row.

    samples ─> rows (means of step_s) ─> level, jump against the baseline ─> energy of each channel
    energies ─┬─> the loudest channels, jumps fading ─> value 0..1, for ranking
              └─> all channels ─> strength, for the decision (alarms.py)

Two statistics of a channel, each divided by its own deviation of a week: 1 is usual for that channel. A channel that
hasn't been watched for so long is taken to stray further than it has shown (growth.py).

- level: mean of the last 5 rows minus the channel's mean. Finds what stays away.
- jump: the row minus the row before. Finds what changes at once.

Level and jump together, each on its own scale, serve a fleet of servers and a fleet of applications with one
setting, where each of them alone serves one fleet. What ranks best does not decide best: docs/adr/0007, and
docs/detection.md has the figures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.detection.baseline import Array, Baseline
from edge_agent.detection.growth import growth
from edge_agent.protocol.metrics import METRICS, series_name

DETECTOR = "statistics-3"
"""As findings name this judge."""
STATE_VERSION = 3
CAP = 20.0  # deviations; beyond this, more says nothing more
LEVEL_ROWS = 5
MEAN_HALF_LIFE_S = 86_400.0
SPREAD_HALF_LIFE_S = 7 * 86_400.0
SETTLED_ROWS = 60  # a channel is judged once it has been seen this often
LOUDEST = 8  # channels that make the score, and are named: it doesn't fade as a device has more of them
SMOOTH_ROWS = 2
RANK_WEIGHTS = np.array([[0.5], [2.0]])
"""Of level and jump in the value: an incident is often a burst of jumps around a level that soon is usual."""
HALF = 1.5  # the value is a half at so many deviations; usual is 1, and what alarms is 3 and more
JUMPS_FADE_ROWS = 7.0  # half-life of jumps in the value: the rows after one are still part of what happened
EXPECTED_DEVIATIONS = 3.0
LARGEST = 1e150  # readings beyond it have squares that no float holds; nothing measures that
_STATISTICS = ("row", "level", "jump")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How unusual one row is.

    `value` ranks rows: 0.5 at HALF, 0.8 at twice and 0.9 at three times that, in the device's own deviations.
    `ready` is False until the device's own baseline is long enough to be believed.
    `shares`, `expected` and `values` name up to 8 channels that carry most of it: their part of it, the range
    that would have been normal, and what the row held, both in the metric's own unit.
    `strength` is the root mean square of all channels' levels and jumps: 1 is usual, whatever the device.
    """

    value: float
    strength: float
    ready: bool
    shares: dict[str, float]
    expected: dict[str, tuple[float, float]]
    values: dict[str, float]


class Scorer:
    """Turns samples into scores; holds the device's baseline, nothing that grows with time."""

    def __init__(
        self,
        *,
        step_s: float = 60.0,
        ready_rows: int = 120,
        max_channels: int = 256,
    ) -> None:
        if not 0 < step_s < math.inf:
            raise ValueError(f"step_s: {step_s} must be a positive number of seconds")
        self._step_s = step_s
        self._ready_rows = ready_rows
        self._jumps = 0.0
        self._rows = _Rows(step_s)
        self._baseline = Baseline(
            _STATISTICS,
            mean_rows=MEAN_HALF_LIFE_S / step_s,
            spread_rows=SPREAD_HALF_LIFE_S / step_s,
            floor_of=_resolution,
            max_channels=max_channels,
        )
        self._recent: Array = np.zeros((0, LEVEL_ROWS))
        self._seen: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._raw: list[float] = []
        self._judged = 0
        self.dropped_values = 0
        """Readings that were no finite number, or whose channel found no room."""

    @property
    def step_s(self) -> float:
        """Seconds of one row."""
        return self._step_s

    @property
    def ignored_samples(self) -> int:
        """Samples whose uptime was not after the one before, or no number."""
        return self._rows.ignored

    def step(self, values: Mapping[str, float], uptime_s: float) -> Score | None:
        """Take in a sample; return the Score of the row before when this sample begins a new row."""
        row = self._rows.add(values, uptime_s)
        return None if row is None else self._judge(row)

    def deviations(self) -> Array:
        """Of level and jump of each channel so far, in its own unit: (2, channels), in the order of first sight."""
        return np.stack([self._baseline.deviation(name) for name in ("level", "jump")])

    def export_state(self) -> dict[str, object]:
        """Return what must outlive a reboot as a plain dictionary, fit for JSON."""
        return {
            "version": STATE_VERSION,
            "step_s": self._step_s,
            "judged": self._judged,
            "baseline": self._baseline.export_state(),
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Take up an exported state. Raises ValueError with what is wrong, and then has changed nothing."""
        judged, baseline = state.get("judged"), state.get("baseline")
        if state.get("version") != STATE_VERSION or state.get("step_s") != self._step_s:
            raise ValueError("scorer: state is of another version or step")
        if not isinstance(judged, int) or judged < 0 or not isinstance(baseline, dict):
            raise ValueError("scorer: judged must be a count, and baseline a mapping")
        self._baseline.restore_state(baseline)
        self._judged = judged
        self._raw, self._jumps = [], 0.0
        self._recent = np.zeros((0, LEVEL_ROWS))
        self._seen = np.zeros(0, np.int64)

    def _judge(self, values: Mapping[str, float]) -> Score:
        usable = {name: value for name, value in values.items() if abs(value) < LARGEST}
        row, refused = self._baseline.place(usable)
        self.dropped_values += self._rows.take_dropped() + len(values) - len(usable) + refused
        self._make_room()
        measured = self._measure(row)
        score = self._score(row, self._squares(measured))
        self._baseline.learn(row, measured)
        self._judged += 1
        return score

    def _make_room(self) -> None:
        """Give channels that have just appeared a place in the recent rows."""
        more = len(self._baseline.names) - len(self._recent)
        if more:
            self._recent = np.vstack([self._recent, np.zeros((more, LEVEL_ROWS))])
            self._seen = np.append(self._seen, np.zeros(more, np.int64))

    def _measure(self, row: Array) -> dict[str, Array]:
        """All statistics of each channel against the baseline before this row.

        NaN where there is none: a statistic needs all its rows, because one of fewer rows strays further than the
        deviation it would be divided by. A channel that is missing keeps its rows for when it comes back.
        """
        here, known = np.isfinite(row), self._baseline.counts > 0
        jump = row - self._recent[:, -1]
        self._recent[here] = np.column_stack([self._recent[here, 1:], row[here]])
        self._seen[here] += 1
        level = self._recent.mean(axis=1) - self._baseline.means
        return {
            "row": np.where(known, row - self._baseline.means, np.nan),
            "level": np.where(here & (self._seen >= LEVEL_ROWS), level, np.nan),
            "jump": np.where(here & (self._seen > 1), jump, np.nan),
        }

    def _squares(self, measured: Mapping[str, Array]) -> Array:
        """Squares of each channel's level and jump, in deviations: (2, channels); NaN where it isn't judged.

        Growth comes after the cap: the first change of a silent channel is beyond any cap, whatever it is divided by.
        """
        statistics = np.stack([measured[name] for name in ("level", "jump")])
        capped = np.clip(np.nan_to_num(statistics / self.deviations(), nan=0.0), -CAP, CAP)
        judged = np.isfinite(measured["row"]) & (self._baseline.counts >= SETTLED_ROWS)
        return np.where(judged, (capped / growth(self._baseline.counts * self._step_s)) ** 2, np.nan)

    def _rank(self, squares: Array) -> float:
        """How unusual the row is by the loudest channels of each statistic, jumps fading; 0 to CAP."""
        if not squares.size:
            return 0.0
        count = min(LOUDEST, squares.shape[1])
        loudest = np.partition(squares, -count, axis=1)[:, -count:]
        levels, jumps = (RANK_WEIGHTS * loudest).mean(axis=1).tolist()
        self._jumps += (jumps - self._jumps) * (1 - 0.5 ** (1 / JUMPS_FADE_ROWS))
        return math.sqrt((levels + self._jumps) / float(RANK_WEIGHTS.sum()))

    def _strength(self, squares: Array) -> float:
        """Root mean square of level and jump over all channels, as a mean of the last rows; 0 to CAP."""
        raw = math.sqrt(float(squares.mean())) if squares.size else 0.0
        self._raw = [*self._raw[1 - SMOOTH_ROWS :], raw]
        return sum(self._raw) / len(self._raw)

    def _score(self, row: Array, squares: Array) -> Score:
        energies = squares.sum(axis=0)
        judged = np.flatnonzero(np.isfinite(energies))
        loudest = judged[np.argsort(-energies[judged], kind="stable")[:LOUDEST]]
        rank, strength = self._rank(squares[:, judged]), self._strength(squares[:, judged])
        total = float(energies[judged].sum())
        reach = EXPECTED_DEVIATIONS * self._baseline.deviation("row")
        names, lows, highs = self._baseline.names, self._baseline.means - reach, self._baseline.means + reach
        return Score(
            value=rank * rank / (rank * rank + HALF * HALF),
            strength=strength,
            ready=self._judged >= self._ready_rows and len(judged) > 0,
            shares={names[i]: float(energies[i]) / total for i in loudest} if total > 0 else {},
            expected={names[i]: (float(lows[i]), float(highs[i])) for i in loudest},
            values={names[i]: float(row[i]) for i in loudest},
        )


class _Rows:
    """Means over `step_s` of uptime; rows begin at multiples of it, whatever the speed of replay."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._number: int | None = None
        self._last_s = -math.inf
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._dropped = 0
        self.ignored = 0

    def add(self, values: Mapping[str, float], uptime_s: float) -> dict[str, float] | None:
        """Take in a sample; return the means of the row before when a new row begins."""
        if not math.isfinite(uptime_s) or uptime_s <= self._last_s:
            self.ignored += 1
            return None
        self._last_s = uptime_s
        number = math.floor(uptime_s / self._step_s)
        finished = None
        if self._number is not None and number != self._number:
            finished = {name: total / self._counts[name] for name, total in self._sums.items()}
            self._sums, self._counts = {}, {}
        self._number = number
        for name, value in values.items():
            if math.isfinite(value):
                self._sums[name] = self._sums.get(name, 0.0) + value
                self._counts[name] = self._counts.get(name, 0) + 1
            else:
                self._dropped += 1
        return finished

    def take_dropped(self) -> int:
        """Return how many readings were no finite number since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped


def _resolution(series: str) -> float:
    """The smallest deviation that means anything: the catalogue's resolution, 0 for a strange metric."""
    metric = METRICS.get(series_name(series))
    return metric.resolution if metric else 0.0
