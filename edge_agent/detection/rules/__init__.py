"""Rules: states that are wrong in themselves. In flow features, out flows a verdict for each rule that holds.

One file a subject; `lasting` is where all of them count for how long something has held.
"""

from collections.abc import Mapping

from edge_agent.detection.rules import clock, memory, power, storage, thermal
from edge_agent.detection.rules.lasting import Lasting
from edge_agent.detection.rules.missing import Missing
from edge_agent.detection.rules.sensors import Sensors
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Finding

__all__ = ["Rules"]


class Rules:
    """Applies every rule to every sample."""

    def __init__(self) -> None:
        self._lasting = Lasting()
        self._clock = clock.ClockRule()
        self._storage = storage.StorageRules()
        self._sensors = Sensors()
        self._missing = Missing()

    def step(self, values: Mapping[str, float], now: Instant) -> list[Verdict]:
        """Return what is wrong in this sample."""
        return [
            *self._storage.step(values, now.uptime_s),
            *power.undervoltage(values, now.uptime_s, self._lasting),
            *thermal.throttling(values, now.uptime_s, self._lasting),
            *memory.killed(values, now.uptime_s, self._lasting),
            *self._clock.step(now, self._lasting),
            *self._sensors.step(values, now.uptime_s, self._lasting),
            *self._missing.step(values, now),
        ]

    def resume(self, finding: Finding) -> None:
        """Take up a finding that stood when the agent stopped: what was missing then is not forgotten."""
        self._missing.resume(finding)
