"""Machines beside the device: evaluation on recorded experiments and injected faults, and training of networks."""
