"""The collector protocol, and the collection that reads all collectors.

Each collector reads one source and returns `{series: value}`; a metric that the machine lacks is absent.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from edge_agent.protocol.instant import Instant
from edge_agent.sample import Sample

log = logging.getLogger(__name__)

UNREADABLE = "forewarn.agent.unreadable"
Reading: TypeAlias = tuple[str, float]


class Collector(Protocol):
    """A source of readings."""

    name: str

    def collect(self, now: Instant) -> Mapping[str, float]:
        """Read the source once. On an error the other sources are still read.

        Raises PartlyRead if only some parts can't be read.
        """
        ...


class PartlyRead(Exception):  # noqa: N818  most of it was read
    """Some parts of a source can't be read: `values` are those of the others, `reasons` those of the failures."""

    def __init__(self, values: Mapping[str, float], reasons: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{part}: {reason}" for part, reason in reasons.items()))
        self.values, self.reasons = values, reasons


def read_parts(parts: Mapping[str, Callable[[], Iterable[Reading]]]) -> tuple[dict[str, float], dict[str, str]]:
    """Read each part separately; return the values, and the reason for each part that failed."""
    values: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for part, read in parts.items():
        try:
            values.update(read())  # keeps the readings before an error
        except Exception as error:
            log.debug("part %s", part, exc_info=True)
            reasons[part] = f"{type(error).__name__}: {error}"
    return values, reasons


@dataclass(slots=True)
class Collection:
    """All collectors of a device; a failing one is reported in `failing` and retried at every sample.

    `external` read what other programs write. None of their series replaces one that was read before them.
    """

    collectors: tuple[Collector, ...]
    external: tuple[Collector, ...] = ()
    failing: dict[str, str] = field(default_factory=dict)

    def sample(self, now: Instant) -> Sample:
        """Read every source. `failing` has each failed source or part with its reason."""
        values: dict[str, float] = {}
        self.failing = {}
        for collector in self.collectors:
            values.update(self._read(collector, now))
        for collector in self.external:
            found = self._read(collector, now)
            if twice := sorted(found.keys() & values.keys()):
                self.failing[f"{collector.name}.series"] = (
                    f"{', '.join(twice[:3])}: read by another collector already; use another name in the file"
                )
            values.update({series: value for series, value in found.items() if series not in values})
        values[UNREADABLE] = float(len(self.failing))
        return Sample(at=now, values=values)

    def _read(self, collector: Collector, now: Instant) -> Mapping[str, float]:
        """Return what a collector reads; note what of it can't be read."""
        try:
            return collector.collect(now)
        except PartlyRead as partly:
            self.failing.update({f"{collector.name}.{part}": why for part, why in partly.reasons.items()})
            return partly.values
        except Exception as error:
            log.debug("collector %s", collector.name, exc_info=True)
            self.failing[collector.name] = f"{type(error).__name__}: {error}"
            return {}
