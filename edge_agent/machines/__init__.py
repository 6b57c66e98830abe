"""Machines beside the device, outside of detection: their configuration, requests to reset one, and recordings."""
