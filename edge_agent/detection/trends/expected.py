"""Expected trends: what staff closed as expected on this device; it is known up to its extent, until its date.

What flows in: the list that the cloud sends, and a quantity with its headroom. What flows out: whether a trend of this
quantity is expected, with the reason.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edge_agent.detection.trends.limits import Limit
from edge_agent.detection.trends.multiscale_window import number
from edge_agent.protocol.instant import Instant

SAME = 0.8  # lows vary: four fifths of the expected headroom is as expected
MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A fault of a component that is normal here while `least_headroom` is left, until `until_s` (Unix time)."""

    fault: str
    component: str
    least_headroom: float
    until_s: float

    @property
    def reason(self) -> str:
        """Return the reason for people."""
        return "closed as expected before on this device"


class ExpectedTrends:
    """What is expected, by fault and component."""

    def __init__(self, expected: Iterable[Expected] = ()) -> None:
        self._expected = {(one.fault, one.component): one for one in list(expected)[:MOST]}

    def allowing(self, limit: Limit, now: Instant) -> Expected | None:
        """Return what makes a trend of this quantity expected now. Without a valid clock nothing expires."""
        one = self.naming(limit.fault, limit.component, now)
        return None if one is None or limit.headroom < SAME * one.least_headroom else one

    def naming(self, fault: str, component: str, now: Instant) -> Expected | None:
        """Return what makes a fault of this component expected now, whatever its extent."""
        one = self._expected.get((fault, component))
        return None if one is None or (now.synced and now.wall.timestamp() >= one.until_s) else one

    def export_state(self) -> list[list[object]]:
        """Return the state, fit for JSON."""
        return [[one.fault, one.component, one.least_headroom, one.until_s] for one in self._expected.values()]

    @classmethod
    def restored(cls, state: object) -> "ExpectedTrends":
        """Read an exported state. Raises ValueError or TypeError."""
        if not isinstance(state, list):
            raise ValueError("expected must be a list")
        return cls(
            Expected(fault=str(fault), component=str(thing), least_headroom=number(least), until_s=number(until_s))
            for fault, thing, least, until_s in state
        )
