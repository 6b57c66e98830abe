"""Anomaly detection: what is unusual against the device's own statistics."""
