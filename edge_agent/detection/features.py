"""Features of readings: gauges are unchanged, totals become rates per second, non-finite values are dropped."""

import math
from collections.abc import Mapping

from edge_agent.protocol.metrics import Kind, metric_of
from edge_agent.sample import Sample


class Features:
    """Stores the last totals. Non-finite readings are dropped and counted."""

    def __init__(self) -> None:
        self._totals: dict[str, float] = {}
        self._at_s: float | None = None
        self.rejected = 0  # readings that were NaN or infinite

    def step(self, sample: Sample) -> Mapping[str, float]:
        """Return `{series: feature}`; a total gives no feature at its first reading or after it decreased."""
        elapsed_s = 0.0 if self._at_s is None else sample.at.uptime_s - self._at_s
        features: dict[str, float] = {}
        totals: dict[str, float] = {}
        for series, value in sample.values.items():
            if not math.isfinite(value):
                self.rejected += 1
            elif metric_of(series).kind is Kind.GAUGE:
                features[series] = value
            else:
                totals[series] = value
                before = self._totals.get(series, math.inf)
                if value >= before and elapsed_s > 0:
                    features[series] = (value - before) / elapsed_s
        self._totals, self._at_s = totals, sample.at.uptime_s
        return features
