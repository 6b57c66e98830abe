"""Presence: the message with the device's state (online, offline, going down), software and hardware.

What flows in: facts about the device. What flows out: a presence message for each state.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edge_agent import __version__
from edge_agent.clock import Clock
from edge_agent.protocol import records


@dataclass(slots=True, kw_only=True)
class PresenceReport:
    """Makes the presence messages of one device."""

    clock: Clock
    firmware: str
    hardware: str
    model: str
    telemetry_every_s: Callable[[], float | None] = lambda: None  # at the present degradation level
    metrics: int = 0  # series in the last sample

    def message(self, state: records.PresenceState) -> records.Presence:
        """Return the message for a state, dated now."""
        return records.Presence(
            state=state,
            at=self.clock.now(),
            agent=__version__,
            model=self.model,
            firmware=self.firmware,
            hardware=self.hardware,
            metrics=self.metrics,
            telemetry_every_s=self.telemetry_every_s(),
        )
