"""Limits: what the agent may cost, and how far it steps down when it costs more.

What flows in: the agent's own readings. What flows out: how much to do, and which budgets are to blame. Pure.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

WINDOW_S = 600.0
DAY_WINDOWS = 144
CALM = 0.7  # of a budget: below it, for `CALM_WINDOWS`, the agent does more again
CALM_WINDOWS = 3
EASED = 0.9  # of a day's budget: below it the agent does all again
SLOW_SAMPLING_FACTOR = 4
_A_STEP = 0.25  # of a day's budget: each further quarter costs one more step

CPU, MEMORY = "forewarn.agent.cpu.utilization", "forewarn.agent.memory.usage"
SENT, WRITTEN = "forewarn.agent.sent", "forewarn.agent.written"
NAMES = {CPU: "cpu", MEMORY: "memory", SENT: "sent", WRITTEN: "written"}


class DegradationLevel(IntEnum):
    """How much the agent does, from everything to the least. Findings are always made and sent."""

    NORMAL = 0
    SLOW_SAMPLING = 1  # samples at a quarter of the rate
    SPARSE_TELEMETRY = 2  # and sends aggregates of four times as long
    FINDINGS_ONLY = 3  # and sends no aggregates

    @property
    def slowdown(self) -> int:
        """How many times the configured period lies between two samples."""
        return SLOW_SAMPLING_FACTOR if self >= DegradationLevel.SLOW_SAMPLING else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What the agent may use; 0 sets no limit."""

    cpu: float = 0.0  # share of one core, mean of a window
    memory_bytes: float = 0.0  # proportional set size
    sent_bytes: float = 0.0  # in 24 hours
    written_bytes: float = 0.0  # in 24 hours


@dataclass(frozen=True, slots=True)
class Excess:
    """A budget that is crossed: the reading, what it was in the last window or 24 hours, and what it may be."""

    series: str
    used: float
    budget: float

    @property
    def name(self) -> str:
        """`cpu`, `memory`, `sent` or `written`."""
        return NAMES[self.series]


@dataclass(slots=True)
class _Day:
    """A total that only grows, as its growth over the last 24 hours, by windows."""

    windows: deque[float] = field(default_factory=lambda: deque(maxlen=DAY_WINDOWS))
    before: float | None = None

    def close(self, total: float | None) -> float:
        """End a window; return the growth over all that are remembered."""
        if total is not None:
            grown = 0.0 if self.before is None else max(0.0, total - self.before)
            self.windows.append(grown)
            self.before = total
        return sum(self.windows)


class Limits:
    """Watches the agent's cost over windows of ten minutes."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._days = {SENT: _Day(), WRITTEN: _Day()}
        self._window: tuple[float, float, int] | None = None  # since, sum of CPU shares, count
        self._pressed = 0  # steps because of CPU and memory
        self._calm = 0  # windows in a row in which both were low
        self._patience = CALM_WINDOWS  # how many of them it takes to do more again
        self._eased = False  # whether the last step was up
        self._drained = 0  # steps because of the day's budgets
        self.level = DegradationLevel.NORMAL
        self.excesses: tuple[Excess, ...] = ()
        """What was crossed when the agent last stepped down, until it does all again."""

    def step(self, values: Mapping[str, float], now_s: float) -> bool:
        """Take the readings of one sample at an uptime; say whether the level has changed."""
        since, total, count = self._window or (now_s, 0.0, 0)
        if CPU in values:
            total, count = total + values[CPU], count + 1
        self._window = (since, total, count)
        if self._days[SENT].before is None:
            self._start(values)
        if now_s - since < WINDOW_S:
            return False
        self._window = None
        used = {CPU: total / count if count else 0.0, MEMORY: values.get(MEMORY, 0.0)}
        used |= {series: day.close(values.get(series)) for series, day in self._days.items()}
        return self._judge(used)

    def _start(self, values: Mapping[str, float]) -> None:
        for series, day in self._days.items():
            day.before = values.get(series)

    def _judge(self, used: Mapping[str, float]) -> bool:
        shares = {series: used[series] / limit for series, limit in self._limits().items() if limit > 0}
        self._press(max(shares.get(CPU, 0.0), shares.get(MEMORY, 0.0)))
        self._drain(max(shares.get(SENT, 0.0), shares.get(WRITTEN, 0.0)))
        crossed = [
            Excess(series, used[series], self._limits()[series]) for series, share in shares.items() if share > 1
        ]
        before, self.level = self.level, DegradationLevel(max(self._pressed, self._drained))
        if self.level is DegradationLevel.NORMAL:
            self.excesses = ()
        elif crossed:
            self.excesses = tuple(crossed)
        return self.level is not before

    def _press(self, share: float) -> None:
        """One step a window while it is too much; back up, one step at a time, after it has been low for a while.

        Who is too much again soon after a step up waits twice as long before the next, at most a day.
        """
        self._calm = self._calm + 1 if share < CALM else 0
        if share > 1:
            if self._eased:
                self._patience = min(DAY_WINDOWS, 2 * self._patience)
            self._pressed, self._eased = min(DegradationLevel.FINDINGS_ONLY, self._pressed + 1), False
        elif self._calm >= self._patience and self._pressed:
            self._pressed, self._calm, self._eased = self._pressed - 1, 0, True
        elif self._calm >= DAY_WINDOWS:
            self._patience, self._eased = CALM_WINDOWS, False

    def _drain(self, share: float) -> None:
        """What a day has used does not come back by doing less: the further over, the less is done."""
        if share > 1:
            self._drained = max(self._drained, min(DegradationLevel.FINDINGS_ONLY, 1 + int((share - 1) / _A_STEP)))
        elif share < EASED:
            self._drained = 0

    def _limits(self) -> dict[str, float]:
        budgets = self._budgets
        return {
            CPU: budgets.cpu,
            MEMORY: budgets.memory_bytes,
            SENT: budgets.sent_bytes,
            WRITTEN: budgets.written_bytes,
        }
