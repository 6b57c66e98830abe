"""One anomaly score for a whole device, and the channels that contribute to it.

What flows in: samples (`{series: value}` with their uptime and the time). What flows out: one Score for each finished
row.

    samples ─> rows (means of step_s) ─> statistics against the baseline ─> energy of each channel
    level, jump       ─> all channels         ─> strength, for the decision (alarm_rate.py)
    jump, daily, rest ─> the top channels     ─> decay  ─> value 0..1, for ranking

Statistics of a channel, each divided by its own deviation of a week: 1 is usual for that channel. The
deviations of a younger channel are corrected for its age (age_correction.py).

- level: mean of the last 5 rows minus the channel's mean. Detects lasting shifts.
- jump: the row minus the row before. Detects abrupt changes.
- daily: the level minus what is usual at this hour (seasonality.py). Detects a busy hour at night.
- rest: the residual of the row after the principal components (principal_components.py). Detects what moves alone.

Level and jump together, each on its own scale, serve a fleet of servers and a fleet of applications with one
setting, where each of them alone serves one fleet. The best inputs for ranking are not the best for alarms:
docs/adr/0007 and 0009. docs/detection.md has the figures.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_agent.detection.anomaly.age_correction import STATISTICS, age_factors
from edge_agent.detection.anomaly.baseline import Array, Baseline
from edge_agent.detection.anomaly.principal_components import Components
from edge_agent.detection.anomaly.seasonality import Daily
from edge_agent.protocol.metrics import METRICS, series_name

DETECTOR = "statistics-4"
"""The name of this detector in findings."""
STATE_VERSION = 4
CAP = 20.0  # deviations; larger values add no information
LEVEL_ROWS = 5
MEAN_HALF_LIFE_S = 86_400.0
SPREAD_HALF_LIFE_S = 7 * 86_400.0
SETTLED_ROWS = 60  # rows before a channel is evaluated
TOP_CHANNELS = 8  # channels in the score, and in the explanation: independent of the number of channels
SMOOTH_ROWS = 2
RANK_WEIGHTS = np.array([[2.0], [1.0], [1.0]])
"""Of jump, daily and rest in the value: an incident is often a burst of jumps around an unchanged level."""
HALF = 1.5  # deviations at which the value is 0.5; usual is 1, alarms start at about 3
FADE_ROWS = 4.0  # half-life of energy in the value: the rows after a burst belong to the incident
EXPECTED_DEVIATIONS = 3.0
LARGEST = 1e150  # the square of a larger reading overflows a float
_DECIDING, _RANKING = slice(1, 3), slice(2, 5)  # indices of statistics; jump is in both


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The anomaly score of one row.

    `value` ranks rows: 0.5 at HALF, 0.8 at twice and 0.9 at three times that, in the device's own deviations.
    `ready` is False until the device's own baseline is long enough.
    `shares`, `expected` and `values` name up to 8 channels that contribute most: their share, the usual range,
    and the value of the row, both in the metric's own unit.
    `strength` is the root mean square of all channels' levels and jumps: 1 is usual for any device.
    """

    value: float
    strength: float
    ready: bool
    shares: dict[str, float]
    expected: dict[str, tuple[float, float]]
    values: dict[str, float]


class Scorer:
    """Turns samples into scores. Holds the baseline of the device; memory is bounded."""

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
        self._ready_rows, self._max_channels = ready_rows, max_channels
        self._energy = 0.0
        self._rows = _Rows(step_s)
        self._baseline, self._daily, self._components = self._new_models()
        self._recent: Array = np.zeros((0, LEVEL_ROWS))
        self._seen: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._raw: list[float] = []
        self._evaluated = 0
        self.dropped_values = 0
        """Readings that were not finite, or whose channel was beyond the maximum."""
        self.row: Mapping[str, float] = {}
        """The last row that was evaluated."""

    @property
    def step_s(self) -> float:
        """Seconds of one row."""
        return self._step_s

    @property
    def ignored_samples(self) -> int:
        """Samples whose uptime was not finite, or not after the one before."""
        return self._rows.ignored

    def step(self, values: Mapping[str, float], uptime_s: float, time_s: float | None = None) -> Score | None:
        """Add a sample; return the Score of the previous row if this sample starts a new row.

        `time_s`: seconds since any midnight, None if the clock is not synchronised.
        """
        row = self._rows.add(values, uptime_s)
        return None if row is None else self._evaluate(row, time_s)

    def deviations(self) -> Array:
        """Return the deviations (statistics, channels) in the units of the channels, in the order of appearance."""
        return self._baseline.deviations()

    def export_state(self) -> dict[str, object]:
        """Return what must outlive a reboot as a plain dictionary, fit for JSON."""
        return {
            "version": STATE_VERSION,
            "step_s": self._step_s,
            "judged": self._evaluated,
            "baseline": self._baseline.export_state(),
            "daily": self._daily.export_state(self._baseline.names),
            "components": self._components.export_state(self._baseline.names),
        }

    def restore_state(self, state: Mapping[str, object]) -> None:
        """Restore an exported state. Raises ValueError with the reason, and then changes nothing."""
        evaluated = state.get("judged")
        if state.get("version") != STATE_VERSION or state.get("step_s") != self._step_s:
            raise ValueError("scorer: state is of another version or step")
        if not isinstance(evaluated, int) or evaluated < 0:
            raise ValueError("scorer: judged must be a count")
        baseline, daily, components = (_mapping(state, name) for name in ("baseline", "daily", "components"))
        learned = self._new_models()
        learned[0].restore_state(baseline)
        learned[1].restore_state(daily, learned[0].names)
        learned[2].restore_state(components, learned[0].names)
        self._baseline, self._daily, self._components = learned
        self._evaluated = evaluated
        self._raw, self._energy = [], 0.0
        self._recent = np.zeros((0, LEVEL_ROWS))
        self._seen = np.zeros(0, np.int64)

    def _new_models(self) -> tuple[Baseline, Daily, Components]:
        """Return models that have learned nothing yet."""
        baseline = Baseline(
            STATISTICS,
            mean_rows=MEAN_HALF_LIFE_S / self._step_s,
            spread_rows=SPREAD_HALF_LIFE_S / self._step_s,
            floor_of=_resolution,
            max_channels=self._max_channels,
        )
        return baseline, Daily(self._step_s), Components(SPREAD_HALF_LIFE_S / self._step_s)

    def _evaluate(self, values: Mapping[str, float], time_s: float | None) -> Score:
        usable = {name: value for name, value in values.items() if abs(value) < LARGEST}
        self.row = usable
        row, refused = self._baseline.place(usable)
        self.dropped_values += self._rows.take_dropped() + len(values) - len(usable) + refused
        self._allocate()
        deviations = self.deviations()
        measured = self._measure(row, deviations[0], time_s)
        score = self._score(row, deviations, self._squares(measured, deviations))
        self._baseline.learn(row, measured)
        self._daily.learn(measured[0], time_s)
        self._evaluated += 1
        return score

    def _allocate(self) -> None:
        """Allocate state for new channels."""
        more = len(self._baseline.names) - len(self._recent)
        if more:
            self._recent = np.vstack([self._recent, np.zeros((more, LEVEL_ROWS))])
            self._seen = np.append(self._seen, np.zeros(more, np.int64))
            self._daily.allocate(len(self._seen))
            self._components.allocate(len(self._seen))

    def _measure(self, row: Array, deviation: Array, time_s: float | None) -> Array:
        """Return all statistics of each channel against the models before this row: (statistics, channels).

        NaN if a statistic is not available: it needs all its rows, because fewer rows deviate further than the
        deviation that divides them. A missing channel keeps its rows until it returns.
        """
        here = np.isfinite(row)
        away = np.where(self._baseline.counts > 0, row - self._baseline.means, np.nan)
        jump = np.where(here & (self._seen > 0), row - self._recent[:, -1], np.nan)
        self._recent[here, :-1] = self._recent[here, 1:]
        self._recent[here, -1] = row[here]
        self._seen[here] += 1
        level = np.where(here & (self._seen >= LEVEL_ROWS), self._recent.mean(axis=1) - self._baseline.means, np.nan)
        # a deviation needs two rows
        known = here & (self._baseline.counts > 1)
        rest = self._components.learn(np.where(known, away / deviation, 0.0))
        return np.stack(
            [away, level, jump, level - self._daily.usual(time_s), np.where(known, rest * deviation, np.nan)]
        )

    def _squares(self, measured: Array, deviations: Array) -> Array:
        """Squares of each channel's statistics, in deviations; NaN where the channel is not evaluated.

        The age correction follows the cap: the first change of a constant channel exceeds any cap.
        """
        away = measured / deviations
        capped = np.minimum(np.abs(np.where(np.isnan(away), 0.0, away)), CAP)
        evaluated = np.isfinite(measured[0]) & (self._baseline.counts >= SETTLED_ROWS)
        return np.where(evaluated, (capped / age_factors(self._baseline.counts * self._step_s)) ** 2, np.nan)

    def _rank(self, squares: Array) -> float:
        """Return the energy of the top channels, with decay; 0 to CAP squared."""
        energies = (RANK_WEIGHTS * squares).sum(axis=0) / float(RANK_WEIGHTS.sum())
        count = min(TOP_CHANNELS, len(energies))
        energy = float(np.partition(energies, -count)[-count:].mean()) if count else 0.0
        self._energy += (energy - self._energy) * (1 - 0.5 ** (1 / FADE_ROWS))
        return self._energy

    def _strength(self, squares: Array) -> float:
        """Return the root mean square over all channels, as a mean of the last rows; 0 to CAP."""
        raw = math.sqrt(float(squares.mean())) if squares.size else 0.0
        self._raw = [*self._raw[1 - SMOOTH_ROWS :], raw]
        return sum(self._raw) / len(self._raw)

    def _score(self, row: Array, deviations: Array, squares: Array) -> Score:
        energies = squares[_DECIDING].sum(axis=0)
        evaluated = np.flatnonzero(np.isfinite(energies))
        top = evaluated[np.argsort(-energies[evaluated], kind="stable")[:TOP_CHANNELS]]
        rank, strength = self._rank(squares[_RANKING, evaluated]), self._strength(squares[_DECIDING, evaluated])
        total = float(energies[evaluated].sum())
        reach = EXPECTED_DEVIATIONS * deviations[0]
        names, lows, highs = self._baseline.names, self._baseline.means - reach, self._baseline.means + reach
        return Score(
            value=rank / (rank + HALF * HALF),
            strength=strength,
            ready=self._evaluated >= self._ready_rows and len(evaluated) > 0,
            shares={names[i]: float(energies[i]) / total for i in top} if total > 0 else {},
            expected={names[i]: (float(lows[i]), float(highs[i])) for i in top},
            values={names[i]: float(row[i]) for i in top},
        )


class _Rows:
    """Means over `step_s` of uptime; rows start at multiples of it, at any speed of replay."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._number: int | None = None
        self._last_s = -math.inf
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._dropped = 0
        self.ignored = 0

    def add(self, values: Mapping[str, float], uptime_s: float) -> dict[str, float] | None:
        """Add a sample; return the means of the previous row if a new row starts."""
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
        """Return how many readings were not finite since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped


def _mapping(state: Mapping[str, object], name: str) -> dict[str, object]:
    part = state.get(name)
    if not isinstance(part, dict):
        raise ValueError(f"scorer: {name} must be a mapping")
    return part


def _resolution(series: str) -> float:
    """Return the smallest meaningful deviation: the catalogue's resolution, 0 for an unknown metric."""
    metric = METRICS.get(series_name(series))
    return metric.resolution if metric else 0.0
