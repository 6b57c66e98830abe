"""Persistence: the probability that a trend reaches its limit within 1.5 times the predicted time.

What flows in: the verdict of a trend with its window, the past of its headroom, and its companions. What flows out: a
verdict whose confidence is that probability, or a capped one that says that it is not known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_agent.detection.network import Network
from edge_agent.detection.trends.multiscale_window import Array
from edge_agent.detection.trends.persistence_features import Ramp, persistence_features
from edge_agent.detection.trends.series_past import DAY_S, SeriesPast
from edge_agent.detection.verdicts import Basis, Verdict

UNKNOWN = 0.5  # most that a trend claims without the network
NO_HISTORY = 0.3  # of a trend on a new device; of all trends in the training telemetry, 0.18 come true
LEAST_POINTS = 6
AGAIN = 32  # a window of this many points asks the network once for each point


@dataclass(slots=True)
class Answer:
    """The last answer of the network for one quantity, and the basis it was asked for."""

    basis: Basis
    asked_at_s: float
    probability: float


def probability_of(network: Network, features: Array) -> float | None:
    """Return the probability of one ramp, from features (n,); None if the network can't be used."""
    logit = float(network.run(features[np.newaxis])[0, 0])
    return None if math.isnan(logit) else 1 / (1 + math.exp(-min(max(logit, -60.0), 60.0)))


def with_history(probability: float, known_s: float) -> float:
    """Return the probability between NO_HISTORY, without a past of the series, and the network's, with a day of it.

    The network was trained on series with a day of history or more: on a device that was just installed it knows
    neither the daily jobs nor the usual level, and must not rule a fault out.
    """
    share = min(1.0, known_s / DAY_S)
    return share * probability + (1 - share) * NO_HISTORY


def is_due(answer: Answer | None, verdict: Verdict, uptime_s: float) -> bool:
    """Return whether the verdict's window is new, and enough time has passed since the last answer."""
    if answer is None or answer.basis.window is None or verdict.basis.window is None:
        return True
    times = verdict.basis.window[0]
    return answer.basis is not verdict.basis and uptime_s - answer.asked_at_s >= float(times[-1] - times[0]) / AGAIN


def features_of(verdict: Verdict, past: SeriesPast, named: Mapping[str, float]) -> Array | None:
    """Return the features of a trend; None for one without a window (a limit that is reached)."""
    if verdict.basis.window is None or verdict.basis.threshold is None or len(verdict.basis.window[0]) < LEAST_POINTS:
        return None
    times, values = verdict.basis.window
    rising = verdict.basis.line is not None and verdict.basis.line.slope_per_s > 0
    limit = verdict.basis.threshold.value
    headroom = limit - values if rising else values - limit
    return persistence_features(Ramp(t=times, v=-headroom, limit=0.0), past.past().flipped(), named)


def with_probability(verdict: Verdict, probability: float | None, network: str) -> Verdict:
    """Return the verdict with its confidence and the network that it is from, or with a sentence in the reason."""
    if probability is None:
        capped = min(verdict.confidence, UNKNOWN)
        return replace(verdict, confidence=capped, reason=f"{verdict.reason}; whether it goes on is not known")
    return replace(verdict, confidence=probability, network=network)
