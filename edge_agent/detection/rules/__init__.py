"""Rules: fixed conditions that are faults, one module for each subject."""

from edge_agent.detection.rules.rules import Rules

__all__ = ["Rules"]
