"""Artifacts: what training made and the device reads: the fleet prior of relations, and networks."""
