"""Scenarios with known truth: simulated devices whose named metrics rise, and either reach a limit or do not."""

from models.scenarios.families import FAMILIES, FAULTY, LOOKALIKES, REPORTS, build
from models.scenarios.scenario import Impact, Kind, Rise, Scenario

__all__ = ["FAMILIES", "FAULTY", "LOOKALIKES", "REPORTS", "Impact", "Kind", "Rise", "Scenario", "build"]
