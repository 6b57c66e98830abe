"""Relations between named quantities, and findings where a measured value departs from what the others predict."""

from edge_agent.detection.relations.relations import FleetPrior, Relations

__all__ = ["FleetPrior", "Relations"]
