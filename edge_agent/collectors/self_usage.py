"""Self usage collector: CPU, memory and bytes written of the agent itself."""

from collections.abc import Iterator, Mapping

import psutil

from edge_agent.collectors.collection import PartlyRead, Reading, read_parts
from edge_agent.protocol.instant import Instant

_MEMORY_EVERY_S = 60.0  # for the proportional set size, the kernel walks all pages of the process


class SelfUsageCollector:
    """Reads this process."""

    name = "self_usage"

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before: tuple[float, float] | None = None  # uptime, CPU seconds
        self._pss: float | None = None
        self._pss_at = float("-inf")

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Return the share of one core since the last call, the proportional set size, and bytes written.

        Raises PartlyRead.
        """
        values, reasons = read_parts(
            {"cpu": lambda: self._cpu(now), "memory": lambda: self._memory(now), "io": self._io}
        )
        if reasons:
            raise PartlyRead(values, reasons)
        return values

    def _cpu(self, now: Instant) -> Iterator[Reading]:
        times = self._process.cpu_times()
        spent_s = (
            times.user + times.system + times.children_user + times.children_system
        )  # systemctl is a child process
        before, self._before = self._before, (now.uptime_s, spent_s)
        if before and now.uptime_s > before[0]:
            yield "forewarn.agent.cpu.utilization", (spent_s - before[1]) / (now.uptime_s - before[0])

    def _memory(self, now: Instant) -> Iterator[Reading]:
        if now.uptime_s - self._pss_at >= _MEMORY_EVERY_S:
            self._pss = None
            self._pss, self._pss_at = float(self._process.memory_full_info().pss), now.uptime_s
        if self._pss is not None:
            yield "forewarn.agent.memory.usage", self._pss

    def _io(self) -> Iterator[Reading]:
        yield "forewarn.agent.written", float(self._process.io_counters().write_bytes)
