"""Training of the classifier of machines, and the comparison that decides whether it ships.

What flows in: Episodes. What flows out: networks over the device's own statistics in units of wander, and a Comparison:
episodes held out in turn, over several seeds, against the same alarm without the network and with a logistic regression
on the same features in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_agent.detection.machine.classifier import SMOOTH_S, features_of
from edge_agent.detection.machine.statistics import Array
from models.dense_network import DenseNetwork, Examples, Training, average, logistic, train_dense
from models.machine.episodes import Episode
from models.machine.experiments import Labels
from models.machine.figures import Figures, figures
from models.machine.replay import Replayed, alarms_of, replay
from models.quantised_network import Scaling, scaling_of

HIDDEN = (24, 12)
SEEDS = (0, 1, 2)
FOLDS = 5
BARS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
MOST_FALSE_PER_HOUR = 0.2  # half of what the device may have: a new machine brings more
_EPOCHS, _PATIENCE, _DECAY, _DROPOUT = 40, 6, 1e-2, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One episode after its healthy start: features (n, inputs), labels (n,), scores of the statistics (n,)."""

    name: str
    features: Array
    labels: Labels
    scores: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """Networks whose logits are averaged, and the scaling of their inputs."""

    networks: tuple[DenseNetwork, ...]
    scaling: Scaling

    def logits(self, features: Array) -> Array:
        """Return the logit of each row (n,)."""
        logits: Array = average(self.networks, self.scaling.scaled(features))[:, 0]
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Figures on held-out episodes: of the statistics alone; for each seed with a logistic regression, with a network.

    `bar` is the network's bar as a probability, the highest of the seeds.
    """

    statistics: Figures
    regression: tuple[Figures, ...]
    network: tuple[Figures, ...]
    bar: float

    @property
    def worth_it(self) -> bool:
        """Whether the network beats both the statistics alone and the regression at every seed."""
        pairs = zip(self.network, self.regression, strict=True)
        return all(one.f1 > max(self.statistics.f1, other.f1) for one, other in pairs)


def watched(episode: Episode) -> Watched:
    """Replay an episode through the device's code."""
    replayed: Replayed = replay(episode.rows, episode.start_rows)
    after = slice(episode.start_rows, None)
    return Watched(
        name=episode.name,
        features=features_of(replayed.departures[after]),
        labels=episode.labels[after],
        scores=replayed.scores[after],
    )


def compare(episodes: Sequence[Watched]) -> Comparison:
    """Hold episodes out in turn, and compare."""
    found = {hidden: [_best(episodes, _held_out(episodes, hidden, seed)) for seed in SEEDS] for hidden in ((), HIDDEN)}
    return Comparison(
        statistics=_figures(episodes, [one.scores for one in episodes]),
        regression=tuple(best for _, best in found[()]),
        network=tuple(best for _, best in found[HIDDEN]),
        bar=max(bar for bar, _ in found[HIDDEN]),
    )


def train(episodes: Sequence[Watched], hidden: tuple[int, ...], seeds: Sequence[int]) -> Classified:
    """Train a network for each seed; a sixth of the episodes stops the training early."""
    scaling = scaling_of(np.concatenate([one.features for one in episodes]))
    networks = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(episodes))
        held = max(1, len(episodes) // 6)
        networks.append(
            train_dense(
                _examples([episodes[place] for place in order[held:]], scaling),
                _examples([episodes[place] for place in order[:held]], scaling),
                Training(hidden=hidden, seed=seed, epochs=_EPOCHS, patience=_PATIENCE, decay=_DECAY, dropout=_DROPOUT),
            )
        )
    return Classified(networks=tuple(networks), scaling=scaling)


def moved(one: Classified, bar: float) -> Classified:
    """Move the logits so that a probability of `bar` becomes a half."""
    offset = float(np.log(bar / (1 - bar)))
    networks = []
    for network in one.networks:
        *others, (kernel, bias) = network.layers
        networks.append(DenseNetwork((*others, (kernel, bias - offset))))
    return Classified(networks=tuple(networks), scaling=one.scaling)


def smoothed(probabilities: Array) -> Array:
    """Return the mean of the last ten seconds, as the device takes it; seconds before the first count as 0."""
    mean: Array = np.convolve(probabilities, np.ones(SMOOTH_S) / SMOOTH_S)[: len(probabilities)]
    return mean


def _held_out(episodes: Sequence[Watched], hidden: tuple[int, ...], seed: int) -> list[Array]:
    """Return the smoothed probabilities of every episode, by a network that has not seen it."""
    found: list[Array] = [np.empty(0)] * len(episodes)
    for fold in np.array_split(np.random.default_rng(seed).permutation(len(episodes)), min(FOLDS, len(episodes))):
        others = [one for place, one in enumerate(episodes) if place not in fold]
        trained = train(others, hidden, [seed])
        for place in fold:
            found[place] = smoothed(logistic(trained.logits(episodes[place].features)))
    return found


def _best(episodes: Sequence[Watched], probabilities: Sequence[Array]) -> tuple[float, Figures]:
    """Return the bar with the best F1 at no more false alarms than .2 an hour, or than the statistics alone have."""
    most = max(MOST_FALSE_PER_HOUR, _figures(episodes, [one.scores for one in episodes]).false_per_hour)
    found = [
        (
            bar,
            _figures(
                episodes, [np.maximum(p / bar, one.scores) for p, one in zip(probabilities, episodes, strict=True)]
            ),
        )
        for bar in BARS
    ]
    allowed = [one for one in found if one[1].false_per_hour <= most] or found[-1:]
    return max(allowed, key=lambda one: one[1].f1)


def _figures(episodes: Sequence[Watched], scores: Sequence[Array]) -> Figures:
    return figures([(one.labels, alarms_of(score, 0)) for one, score in zip(episodes, scores, strict=True)])


def _examples(episodes: Sequence[Watched], scaling: Scaling) -> Examples:
    return Examples(
        inputs=scaling.scaled(np.concatenate([one.features for one in episodes])),
        targets=np.concatenate([one.labels for one in episodes]).astype(np.float64)[:, np.newaxis],
    )
