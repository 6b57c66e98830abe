"""The agent's own cost: CPU, memory and bytes written, as metrics beside those of the machine."""

from collections.abc import Mapping

import psutil

from edge_agent.protocol.instant import Instant

_MEMORY_EVERY_S = 60.0  # the proportional set size costs the kernel a walk over all our pages


class OwnCostCollector:
    """Reads this process."""

    name = "own_cost"

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before: tuple[float, float] | None = None  # uptime, CPU seconds
        self._pss: float | None = None
        self._pss_at = float("-inf")

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return the share of one core since the last call, the proportional set size, and bytes written."""
        times = self._process.cpu_times()
        spent_s = times.user + times.system
        values: dict[str, float] = {}
        if self._before and now.uptime_s > self._before[0]:
            values["forewarn.agent.cpu.utilization"] = (spent_s - self._before[1]) / (now.uptime_s - self._before[0])
        self._before = (now.uptime_s, spent_s)
        if now.uptime_s - self._pss_at >= _MEMORY_EVERY_S:
            self._pss, self._pss_at = float(self._process.memory_full_info().pss), now.uptime_s
        if self._pss is not None:
            values["forewarn.agent.memory.usage"] = self._pss
        values["forewarn.agent.written"] = float(self._process.io_counters().write_bytes)
        return values
