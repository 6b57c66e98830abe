"""A classifier beside the statistics: a network that was trained on labelled episodes of the same kind of machine.

What flows in: the Score of a second. What flows out: the same, or one of the network if that is further above its bar.
"""

import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from edge_agent.detection.machine.score import BAR, NETWORK, Score
from edge_agent.detection.machine.statistics import LAGS_S, LEVELS_S, SPREAD_S, STATISTICS, Array
from edge_agent.detection.network import Network

SMOOTH_S = 10
MOST = 16.0  # units of wander
STATISTIC_NAMES = (
    *(f"level_{window}s" for window in LEVELS_S),
    f"spread_{SPREAD_S}s",
    *(f"change_{lag}s" for lag in LAGS_S),
)


def feature_names(channels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the inputs: for each statistic every channel."""
    return tuple(f"{channel}.{statistic}" for statistic in STATISTIC_NAMES for channel in channels)


def features_of(departures: Array) -> Array:
    """From (..., STATISTICS, channels) in units of wander to (..., STATISTICS * channels): signed logarithms."""
    limited = np.clip(departures, -MOST, MOST)
    folded: Array = np.sign(limited) * np.log1p(np.abs(limited))
    return folded.reshape(*departures.shape[:-2], -1)


def probability_of(logit: float) -> float:
    """Return the probability of a fault."""
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))


@dataclass(slots=True)
class Classifier:
    """Runs the network once a second; its probability is the mean of the last ten seconds."""

    network: Network
    channels: tuple[str, ...]
    _last: deque[float] = field(default_factory=lambda: deque(maxlen=SMOOTH_S))

    def step(self, score: Score, used: npt.NDArray[np.intp]) -> Score:
        """Return the score with the network's if that is larger; `used` are the places of the channels in it."""
        departures = np.zeros((STATISTICS, len(self.channels)))
        departures[:, used] = score.departures * score.present
        logit = float(self.network.run(features_of(departures)[np.newaxis])[0, 0])
        if not np.isfinite(logit):
            return score
        self._last.append(probability_of(logit))
        probability = sum(self._last) / SMOOTH_S
        if probability / BAR <= score.value:
            return replace(score, probability=probability)
        return replace(score, probability=probability, value=probability / BAR, group=NETWORK)
