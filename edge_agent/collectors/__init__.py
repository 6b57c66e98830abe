"""Collectors: one file a source. Each turns what a machine says into `{series: value}`; a metric it lacks is absent."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edge_agent.protocol.instant import Instant
from edge_agent.sample import Sample

log = logging.getLogger(__name__)


class Collector(Protocol):
    """A source of readings."""

    name: str

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Read the source once. An error means that it can't be read now; other sources go on."""
        ...


@dataclass(slots=True)
class Collection:
    """All collectors of a device, read together; a failing one is named once and retried every time."""

    collectors: tuple[Collector, ...]
    failing: dict[str, str] = field(default_factory=dict)

    def sample(self, now: Instant) -> Sample:
        """Read every source. What failed stands in `failing` with its reason until it can be read again."""
        values: dict[str, float] = {}
        for collector in self.collectors:
            try:
                values.update(collector.collect(now))
            except Exception as error:
                log.debug("collector %s", collector.name, exc_info=True)
                self.failing[collector.name] = f"{type(error).__name__}: {error}"
            else:
                self.failing.pop(collector.name, None)
        return Sample(at=now, values=values)
