"""Anomaly detection: deviations from the statistics of the device itself, and the control of its alarm rate."""

from edge_agent.detection.anomaly.alarm_rate import Alarms
from edge_agent.detection.anomaly.scorer import Scorer

__all__ = ["Alarms", "Scorer"]
