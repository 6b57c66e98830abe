"""Rules: states that are wrong in themselves. In flow features, out flows a verdict for each rule that holds.

One file a subject; `hold_timer` is where all of them count for how long something has held. They count the seconds the
device was watched: what was true before a suspend and is after it has not held in between.
"""

from collections.abc import Mapping

from edge_agent.detection.rules import battery, clock, memory, power, services, storage, thermal, wifi
from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.rules.missing import Missing
from edge_agent.detection.rules.sensors import Sensors
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Finding

__all__ = ["Rules"]

LONGEST_STEP_S = 120.0  # between two samples; what is longer is a suspend, and counts as this


class Rules:
    """Applies every rule to every sample."""

    def __init__(self) -> None:
        self._lasting = HoldTimer()
        self._clock = clock.ClockRule()
        self._storage = storage.StorageRules()
        self._services = services.ServiceRules()
        self._sensors = Sensors()
        self._missing = Missing()
        self._last: Instant | None = None
        self._watched_s = 0.0

    def step(self, values: Mapping[str, float], now: Instant) -> list[Verdict]:
        """Return what is wrong in this sample."""
        at_s = self._watch(now)
        return [
            *self._storage.step(values, at_s),
            *power.undervoltage(values, at_s, self._lasting),
            *thermal.throttling(values, at_s, self._lasting),
            *thermal.throttled(values, at_s, self._lasting),
            *battery.worn(values, at_s, self._lasting),
            *wifi.weak(values, at_s, self._lasting),
            *memory.killed(values, at_s, self._lasting),
            *self._clock.step(now, at_s, self._lasting),
            *self._services.step(values, at_s, self._lasting),
            *self._sensors.step(values, at_s, self._lasting),
            *self._missing.step(values, at_s),
        ]

    def _watch(self, now: Instant) -> float:
        """Return the seconds watched so far."""
        last, self._last = self._last, now
        passed_s = now.uptime_s - last.uptime_s if last is not None and last.boot_id == now.boot_id else 0.0
        self._watched_s += min(max(0.0, passed_s), LONGEST_STEP_S)
        return self._watched_s

    def resume(self, finding: Finding) -> None:
        """Resume a finding that was open when the agent stopped, where a rule would need long to see it again."""
        self._clock.resume(finding, self._lasting)
        self._services.resume(finding)
        self._sensors.resume(finding)
        self._missing.resume(finding)
        battery.resume(finding, self._lasting)
        wifi.resume(finding, self._lasting)
