"""Persistence: trains, judges and measures the network that tells whether a ramp goes on until its limit."""
