"""Ramps in simulated scenarios, with their outcome: what teaches the persistence network named metrics and limits.

What flows in: families and seeds of scenarios. What flows out: Samples, one for each time that the device's trends
asked the network, with whether the limit was reached within the time that counts; the group is the family.
"""

import json
from collections.abc import Iterable, Iterator

import numpy as np

from edge_agent.detection.features import Features
from edge_agent.detection.trends import Trends
from edge_agent.detection.trends.extrapolation import likely_s
from edge_agent.detection.trends.multiscale_window import Array
from edge_agent.detection.trends.persistence_features import FEATURES, REACH
from edge_agent.detection.verdicts import Verdict
from models.persistence.telemetry_ramps import Samples
from models.scenarios import Scenario, build
from models.scenarios.replay import HORIZON_S

MOST_ROWS = 40  # of one quantity of one scenario, evenly spaced among all that were asked


class RecordingNetwork:
    """Answers that every ramp is unlikely, and keeps what it was asked."""

    name = "recording-1"
    features = FEATURES

    def __init__(self) -> None:
        self.asked: list[Array] = []

    def run(self, values: Array) -> Array:
        """Keep the rows."""
        self.asked.extend(values)
        return np.full((len(values), 1), -10.0)


def scenario_samples(families: Iterable[str], seeds: Iterable[int]) -> Iterator[Samples]:
    """Yield the samples of each scenario; a scenario without any is left out."""
    for family in families:
        for seed in seeds:
            if samples := samples_of(build(family, seed)):
                yield samples


def samples_of(scenario: Scenario) -> Samples | None:
    """Return what the trends asked in one scenario, with the truth."""
    rows: dict[tuple[str, str], list[tuple[Array, bool]]] = {}
    for at_s, verdict, row in _asked(scenario):
        reaches = scenario.comes_true(verdict.fault, verdict.component, at_s, likely_s(verdict), REACH)
        rows.setdefault((verdict.fault, verdict.component), []).append((row, reaches))
    kept = [one for found in rows.values() for one in found[:: -(-len(found) // MOST_ROWS)]]
    if not kept:
        return None
    return Samples(
        features=np.array([row for row, _ in kept]),
        reaches=np.array([reaches for _, reaches in kept]),
        new_ground=np.ones(len(kept), np.bool_),
        group=np.full(len(kept), scenario.family),
    )


def _asked(scenario: Scenario) -> Iterator[tuple[float, Verdict, Array]]:
    """Yield (seconds since the start, verdict, features) whenever the network was asked, up to the last impact."""
    timeline, network = scenario.timeline, RecordingNetwork()
    end_s = max((impact.impact_s for impact in scenario.impacts), default=float("inf"))
    features, trends, boot = Features(), Trends(timeline.period_s, HORIZON_S, network), 0
    for place, sample in enumerate(scenario.samples()):
        if timeline.t_s[place] > end_s:
            return
        if timeline.boot[place] != boot:
            boot, state = int(timeline.boot[place]), json.loads(json.dumps(trends.export_state()))
            features, trends = Features(), Trends(timeline.period_s, HORIZON_S, network)
            trends.restore_state(state)
        verdicts = trends.step(features.step(sample), sample.at)
        asking = (verdict for verdict in verdicts if trends.asked_now(verdict))
        for verdict, row in zip(asking, network.asked, strict=True):
            yield float(timeline.t_s[place]), verdict, row
        network.asked.clear()
