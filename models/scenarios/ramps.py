"""Ramps of a scenario: what the trends of the device extrapolate, and whether it comes true. For training a network.

What flows in: a scenario, and how a device makes its trends. What flows out: a Ramp for each verdict of a trend, at
most one for each quantity in `every_s`; its label needs no more than the truth of the scenario.

A network that is asked by the trends can be recorded at the same time: give `make` trends that ask a
`RecordingNetwork`, and each ramp carries the rows that were asked for in its sample.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_agent.detection.features import Features
from edge_agent.detection.trends import Trends
from edge_agent.detection.verdicts import Verdict
from models.scenarios.replay import HORIZON_S
from models.scenarios.scenario import Scenario
from models.scenarios.timeline import Array

Make = Callable[[float], Trends]
FACTOR = 1.5  # a ramp comes true if it reaches its limit within this many times the predicted time


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A trend towards a limit: the sample at which it was seen, where it leads, and whether it gets there.

    `place` is the index of the sample, `predicted_s` the time to the limit by the slope; `rows` are what a network was
    asked in this sample, (n, features), empty without one.
    """

    family: str
    seed: int
    place: int
    at_s: float
    series: str
    fault: str
    component: str
    predicted_s: float
    confidence: float
    reaches: bool
    rows: Array


@dataclass(slots=True)
class RecordingNetwork:
    """Stands in for a network: answers each row with the same probability, and keeps the rows that it was asked."""

    features: tuple[str, ...]
    answer: float = 1.0
    name: str = "recording-1"
    _rows: list[Array] = field(default_factory=list)

    def run(self, values: Array) -> Array:
        """Keep the rows (n, features); return (n, 1) times the answer."""
        self._rows.append(np.array(values, np.float64))
        return np.full((len(values), 1), self.answer)

    def taken(self) -> Array:
        """Return the rows since the last call, and forget them."""
        rows, self._rows = self._rows, []
        return np.concatenate(rows) if rows else np.empty((0, len(self.features)))


def shipped(period_s: float) -> Trends:
    """Return the trends of a device."""
    return Trends(period_s, HORIZON_S)


def ramps(
    scenario: Scenario, make: Make = shipped, network: RecordingNetwork | None = None, every_s: float = 600.0
) -> Iterator[Ramp]:
    """Yield what the trends extrapolate before the impact, at most every `every_s` for each quantity."""
    last_s: dict[tuple[str, str], float] = {}
    for place, verdicts in _verdicts(scenario, make):
        rows = network.taken() if network else np.empty((0, 0))
        at_s = float(scenario.timeline.t_s[place])
        for verdict in verdicts:
            key = (verdict.fault, verdict.component)
            if verdict.basis.line and at_s >= last_s.get(key, -every_s) + every_s:
                last_s[key] = at_s
                yield _ramp(scenario, place, verdict, rows)


def _ramp(scenario: Scenario, place: int, verdict: Verdict, rows: Array) -> Ramp:
    at_s = float(scenario.timeline.t_s[place])
    predicted_s = verdict.impact.likely_s if verdict.impact else 0.0
    return Ramp(
        family=scenario.family,
        seed=scenario.seed,
        place=place,
        at_s=at_s,
        series=verdict.basis.evaluated[0],
        fault=verdict.fault,
        component=verdict.component,
        predicted_s=predicted_s,
        confidence=verdict.confidence,
        reaches=scenario.comes_true(verdict.fault, verdict.component, at_s, predicted_s, FACTOR),
        rows=rows,
    )


def _verdicts(scenario: Scenario, make: Make) -> Iterator[tuple[int, Sequence[Verdict]]]:
    """Yield the verdicts of each sample up to the last impact; at a reboot the trends continue from their state."""
    timeline = scenario.timeline
    end_s = max((impact.impact_s for impact in scenario.impacts), default=float("inf"))
    features, trends, boot = Features(), make(timeline.period_s), 0
    for place, sample in enumerate(scenario.samples()):
        if timeline.t_s[place] > end_s:
            return
        if timeline.boot[place] != boot:
            boot, state = int(timeline.boot[place]), json.loads(json.dumps(trends.export_state()))
            features, trends = Features(), make(timeline.period_s)
            trends.restore_state(state)
        yield place, trends.step(features.step(sample), sample.at)
