"""Trends: quantities that approach a limit, with the time to impact."""

from edge_agent.detection.trends.expected import Expected
from edge_agent.detection.trends.trends import Trends

__all__ = ["Expected", "Trends"]
