"""Resource budget: what the agent may use, and its degradation level when it uses more.

What flows in: the agent's own readings. What flows out: the degradation level, and the budgets that are exceeded. Pure.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

WINDOW_S = 600.0
DAY_WINDOWS = 144
CALM = 0.7  # share of a budget; below it for `CALM_WINDOWS` the level goes up by one
CALM_WINDOWS = 3
DAY_RECOVERED = 0.9  # share of a day's budget; below it the level is normal again
SLOW_SAMPLING_FACTOR = 4
_A_STEP = 0.25  # share of a day's budget; each further quarter lowers the level by one more

CPU, MEMORY = "forewarn.agent.cpu.utilization", "forewarn.agent.memory.usage"
SENT, WRITTEN = "forewarn.agent.sent", "forewarn.agent.written"
NAMES = {CPU: "cpu", MEMORY: "memory", SENT: "sent", WRITTEN: "written"}


class DegradationLevel(IntEnum):
    """How much the agent does, from everything to the least. Findings are always made and sent."""

    NORMAL = 0
    SLOW_SAMPLING = 1  # a quarter of the sampling rate
    SPARSE_TELEMETRY = 2  # and aggregates in batches of four hours
    FINDINGS_ONLY = 3  # and no aggregates

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
    """A budget that is exceeded: the series, its use in the last window or 24 hours, and the budget."""

    series: str
    used: float
    budget: float

    @property
    def name(self) -> str:
        """`cpu`, `memory`, `sent` or `written`."""
        return NAMES[self.series]


@dataclass(slots=True)
class _Day:
    """Growth of a running total over the last 24 hours, by windows."""

    windows: deque[float] = field(default_factory=lambda: deque(maxlen=DAY_WINDOWS))
    before: float | None = None

    def close(self, total: float | None) -> float:
        """End a window; return the growth over the last 24 hours."""
        if total is not None:
            grown = 0.0 if self.before is None else max(0.0, total - self.before)
            self.windows.append(grown)
            self.before = total
        return sum(self.windows)


class Limits:
    """Compares the agent's use with its budgets over windows of ten minutes."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._days = {SENT: _Day(), WRITTEN: _Day()}
        self._window: tuple[float, float, int] | None = None  # since, sum of CPU shares, count
        self._steps = 0  # levels below normal because of CPU and memory
        self._calm = 0  # windows in a row in which both were low
        self._patience = CALM_WINDOWS  # how many of them raise the level
        self._raised = False  # whether the last change raised the level
        self._day_steps = 0  # levels below normal because of the day's budgets
        self.level = DegradationLevel.NORMAL
        self.excesses: tuple[Excess, ...] = ()
        """The budgets that were exceeded when the level last fell; empty at the normal level."""

    def step(self, values: Mapping[str, float], now_s: float) -> bool:
        """Take the readings of one sample at an uptime; return whether the level has changed."""
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
        return self._evaluate(used)

    def _start(self, values: Mapping[str, float]) -> None:
        for series, day in self._days.items():
            day.before = values.get(series)

    def _evaluate(self, used: Mapping[str, float]) -> bool:
        shares = {series: used[series] / limit for series, limit in self._limits().items() if limit > 0}
        self._check_now(max(shares.get(CPU, 0.0), shares.get(MEMORY, 0.0)))
        self._check_day(max(shares.get(SENT, 0.0), shares.get(WRITTEN, 0.0)))
        crossed = [
            Excess(series, used[series], self._limits()[series]) for series, share in shares.items() if share > 1
        ]
        before, self.level = self.level, DegradationLevel(max(self._steps, self._day_steps))
        if self.level is DegradationLevel.NORMAL:
            self.excesses = ()
        elif crossed:
            self.excesses = tuple(crossed)
        return self.level is not before

    def _check_now(self, share: float) -> None:
        """Lower the level by one a window while a share exceeds 1; raise it by one after some windows of low use.

        If a budget is exceeded again soon after a raise, the next raise waits twice as long, at most a day.
        """
        self._calm = self._calm + 1 if share < CALM else 0
        if share > 1:
            if self._raised:
                self._patience = min(DAY_WINDOWS, 2 * self._patience)
            self._steps, self._raised = min(DegradationLevel.FINDINGS_ONLY, self._steps + 1), False
        elif self._calm >= self._patience and self._steps:
            self._steps, self._calm, self._raised = self._steps - 1, 0, True
        elif self._calm >= DAY_WINDOWS:
            self._patience, self._raised = CALM_WINDOWS, False

    def _check_day(self, share: float) -> None:
        """The use of a day can't be undone: the more it exceeds the budget, the lower the level."""
        if share > 1:
            self._day_steps = max(self._day_steps, min(DegradationLevel.FINDINGS_ONLY, 1 + int((share - 1) / _A_STEP)))
        elif share < DAY_RECOVERED:
            self._day_steps = 0

    def _limits(self) -> dict[str, float]:
        budgets = self._budgets
        return {
            CPU: budgets.cpu,
            MEMORY: budgets.memory_bytes,
            SENT: budgets.sent_bytes,
            WRITTEN: budgets.written_bytes,
        }
