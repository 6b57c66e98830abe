"""A scenario: the samples of one device, with the truth about them.

What flows in: a finished simulation and what was planned. What flows out: samples as the agent collects them, and the
truth: for a fault onset and impact, for a look-alike the rises that look like one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from edge_agent.sample import Sample
from models.scenarios.readings import OUT_OF_MEMORY, free_series, readings
from models.scenarios.simulation import Simulation
from models.scenarios.timeline import Array, Timeline


class Kind(StrEnum):
    """Whether anything impacts."""

    LOOKALIKE = "look-alike"  # a rise that ends by itself: no case may open
    FAULT = "fault"  # a rise that reaches its limit: a case must open before


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """A fault that came true, in seconds since the start: `onset_s` is the start of the rise that reaches the limit.

    `began_s` is before it where the fault exists for longer, but something hides it.
    """

    fault: str
    component: str
    began_s: float
    onset_s: float
    impact_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """A rise that ends by itself, in seconds since the start: a case that opens up to `until_s` is about this rise.

    That is the begin of the next rise: slow trends are reported long after a rise has ended.
    """

    begin_s: float
    end_s: float
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Samples and truth: the impacts of faults, the rises of a look-alike in order (the first time, the second)."""

    family: str
    kind: Kind
    seed: int
    timeline: Timeline
    series: Mapping[str, Array]
    impacts: tuple[Impact, ...] = ()
    rises: tuple[Rise, ...] = ()

    @property
    def name(self) -> str:
        """Family and seed."""
        return f"{self.family}/{self.seed}"

    def __len__(self) -> int:
        return len(self.timeline.t_s)

    def comes_true(self, fault: str, component: str, at_s: float, predicted_s: float, factor: float = 1.5) -> bool:
        """Return whether a limit is reached within `factor` times the predicted time from `at_s` on."""
        return any(
            (impact.fault, impact.component) == (fault, component)
            and at_s < impact.impact_s <= at_s + factor * predicted_s
            for impact in self.impacts
        )

    def samples(self) -> Iterator[Sample]:
        """Yield what the collectors would have read, in order."""
        names = list(self.series)
        rows = np.stack([self.series[name] for name in names], axis=1)
        for place, row in enumerate(rows):
            yield Sample(at=self.timeline.instant(place), values=dict(zip(names, row.tolist(), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A fault that a simulation contains; the impact is read from its series."""

    fault: str
    component: str
    onset_s: float
    began_s: float | None = None


def lookalike(family: str, seed: int, sim: Simulation, rises: Sequence[Rise]) -> Scenario:
    """Return a scenario in which nothing impacts."""
    return Scenario(
        family=family,
        kind=Kind.LOOKALIKE,
        seed=seed,
        timeline=sim.timeline,
        series=readings(sim),
        rises=tuple(rises),
    )


def faulty(family: str, seed: int, sim: Simulation, *planned: Planned) -> Scenario:
    """Return a scenario whose faults impact. Raises ValueError if one does not."""
    series = readings(sim)
    impacts = []
    for each in planned:
        reached = np.flatnonzero(headroom(series, each.fault, each.component) <= 0)
        reached = reached[sim.t_s[reached] > each.onset_s]
        if not len(reached):
            raise ValueError(f"{family}/{seed}: {each.fault} of {each.component} has no impact; make it larger")
        began_s = each.onset_s if each.began_s is None else each.began_s
        impacts.append(
            Impact(
                fault=each.fault,
                component=each.component,
                began_s=began_s,
                onset_s=each.onset_s,
                impact_s=float(sim.t_s[reached[0]]),
            )
        )
    return Scenario(
        family=family, kind=Kind.FAULT, seed=seed, timeline=sim.timeline, series=series, impacts=tuple(impacts)
    )


def headroom(series: Mapping[str, Array], fault: str, component: str) -> Array:
    """Return what is left until users notice, at each sample; 0 at the impact."""
    if fault == "memory.leak":
        left = series["system.linux.memory.available"] - OUT_OF_MEMORY * series["system.memory.limit"]
        return np.asarray(np.maximum(0.0, left))
    if fault == "fd.leak" and component == "process":
        return np.asarray(1 - series["forewarn.process.file_descriptor.utilization"])
    if fault == "fd.leak":
        return np.asarray(series["forewarn.file_descriptor.limit"] - series["forewarn.file_descriptor.usage"])
    metric = {"disk.filling": "system.filesystem.usage", "inodes.filling": "system.filesystem.inodes.usage"}[fault]
    return series[free_series(component, metric)]
