"""Offline tools: record machines, learn the fleet prior that devices ship with, and measure the detection.

What flows in: recordings and labelled telemetry. What flows out: artifacts (models/artifacts), scores, and tables of
figures. Devices load the artifacts; they never import this package.
"""
