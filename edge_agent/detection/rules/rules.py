"""Rules: fixed conditions that are faults. Input: features; output: a verdict for each rule that holds.

One module for each subject. `hold_timer` measures how long a condition has held, in seconds of monitoring: time in
suspend does not count.
"""

from collections.abc import Mapping

from edge_agent.detection.rules import battery, clock, memory, power, services, storage, thermal, wifi
from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.rules.missing import Missing
from edge_agent.detection.rules.sensors import Sensors
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Finding

LONGEST_STEP_S = 120.0  # between two samples; a longer gap is a suspend, and counts as this much


class Rules:
    """Applies every rule to every sample."""

    def __init__(self) -> None:
        self._timer = HoldTimer()
        self._clock = clock.ClockRule()
        self._storage = storage.StorageRules()
        self._services = services.ServiceRules()
        self._sensors = Sensors()
        self._missing = Missing()
        self._last: Instant | None = None
        self._monitored_s = 0.0

    def step(self, values: Mapping[str, float], now: Instant) -> list[Verdict]:
        """Return a verdict for each fault in this sample."""
        at_s = self._monitored(now)
        return [
            *self._storage.step(values, at_s),
            *power.undervoltage(values, at_s, self._timer),
            *thermal.throttling(values, at_s, self._timer),
            *thermal.throttled(values, at_s, self._timer),
            *battery.worn(values, at_s, self._timer),
            *wifi.weak(values, at_s, self._timer),
            *memory.killed(values, at_s, self._timer),
            *self._clock.step(now, at_s, self._timer),
            *self._services.step(values, at_s, self._timer),
            *self._sensors.step(values, at_s, self._timer),
            *self._missing.step(values, at_s),
        ]

    def _monitored(self, now: Instant) -> float:
        """Return the seconds of monitoring so far."""
        last, self._last = self._last, now
        passed_s = now.uptime_s - last.uptime_s if last is not None and last.boot_id == now.boot_id else 0.0
        self._monitored_s += min(max(0.0, passed_s), LONGEST_STEP_S)
        return self._monitored_s

    def resume(self, finding: Finding) -> None:
        """Resume a finding that was open when the agent stopped, where a rule would need long to detect it again."""
        self._clock.resume(finding, self._timer)
        self._services.resume(finding)
        self._sensors.resume(finding)
        self._missing.resume(finding)
        battery.resume(finding, self._timer)
        wifi.resume(finding, self._timer)
