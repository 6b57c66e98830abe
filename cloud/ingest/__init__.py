"""Ingest: MQTT messages of all devices are committed in transactions and acknowledged."""
