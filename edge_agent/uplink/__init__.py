"""Uplink: MQTT connection, records in flight, acknowledgements, backoff and rate limits."""

from edge_agent.uplink.mqtt_connection import Link
from edge_agent.uplink.uplink import Uplink

__all__ = ["Link", "Uplink"]
