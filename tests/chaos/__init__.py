"""Chaos: everything that can be killed is killed, and then every record is accounted for."""
