"""Collectors: each reads one source and returns `{series: value}`. `Collection` reads all of them."""

from edge_agent.collectors.collection import Collection, Collector

__all__ = ["Collection", "Collector"]
