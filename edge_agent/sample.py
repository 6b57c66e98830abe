"""A sample: all readings of one instant. It flows from the collectors through detection."""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.protocol.instant import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`values` maps a series to its reading: levels as read, counters as totals since boot."""

    at: Instant
    values: Mapping[str, float]
