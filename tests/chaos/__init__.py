"""Chaos test: inject faults into devices, network, broker, cloud and database, then account for every record."""
