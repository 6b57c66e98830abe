"""Training of the persistence network: several nets, and one small net that is taught by their mean.

What flows in: samples of telemetry and of scenarios. What flows out: a Fitted: the scaling, and the net that ships.
Groups (machines, families) are never split: each teacher is stopped early by groups that it has not seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_agent.detection.network import Array
from models.dense_network import DenseNetwork, Examples, Training, average, logistic, train_dense
from models.persistence.telemetry_ramps import Samples
from models.quantised_network import Scaling, scaling_of

TEACHERS = 6
TEACHER = Training(hidden=(48, 16), seed=0, epochs=60, patience=8, learning_rate=3e-3, decay=0.5, dropout=0.05)
PUPIL = Training(hidden=(48, 16), seed=100, epochs=80, patience=10, learning_rate=3e-3, decay=0.1)
HELD_BACK = 0.2  # share of the groups that stop a teacher
SCENARIO_WEIGHT = 1.0  # of all scenarios together, against all telemetry
# Of logits. Telemetry of other machines is calibrated with 1.0, families of scenarios that were held out with 1.35:
# where a network has not been before it is too sure. 1.2 has the least loss over both.
TEMPERATURE = 1.2


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network with its scaling."""

    scaling: Scaling
    network: DenseNetwork

    def probability(self, features: Array) -> Array:
        """Return the probability of each row: (n, FEATURES) to (n,)."""
        return logistic(self.network.run(self.scaling.scaled(features)))[:, 0]


def fit(telemetry: Samples | None, scenarios: Samples | None, seed: int) -> Fitted:
    """Train the teachers, then the net that ships."""
    parts = [part for part in (telemetry, scenarios) if part is not None and len(part)]
    features = np.concatenate([part.features for part in parts])
    targets = np.concatenate([part.reaches for part in parts]).astype(np.float64)[:, np.newaxis]
    groups = np.concatenate([part.group for part in parts])
    weight = np.concatenate([np.full(len(part), share) for part, share in zip(parts, _shares(parts), strict=True)])
    scaling = scaling_of(features)
    inputs = scaling.scaled(features)
    teachers = []
    for number in range(TEACHERS):
        stops = _picked_groups(groups, seed + number)
        teachers.append(
            train_dense(
                _examples(inputs, targets, weight, ~stops),
                _examples(inputs, targets, weight, stops),
                _seeded(TEACHER, seed + number),
            )
        )
    taught = logistic(average(teachers, inputs))
    stops = _picked_groups(groups, seed + TEACHERS)
    pupil = train_dense(
        _examples(inputs, taught, weight, ~stops), _examples(inputs, taught, weight, stops), _seeded(PUPIL, seed)
    )
    return Fitted(scaling, _cooled(pupil))


def _cooled(network: DenseNetwork) -> DenseNetwork:
    """Divide the logits by TEMPERATURE."""
    *hidden, (kernel, bias) = network.layers
    return DenseNetwork((*hidden, (kernel / TEMPERATURE, bias / TEMPERATURE)))


def folds(groups: npt.NDArray[np.str_], count: int) -> Iterator[tuple[str, ...]]:
    """Yield the groups that are held out together, each once."""
    names = sorted(set(groups.tolist()))
    yield from (tuple(names[start::count]) for start in range(min(count, len(names))))


def _shares(parts: Sequence[Samples]) -> list[float]:
    """Return the weight of a sample of each part."""
    if len(parts) == 1:
        return [1.0]
    telemetry, scenarios = map(len, parts)
    return [1.0, SCENARIO_WEIGHT * telemetry / scenarios]


def _examples(inputs: Array, targets: Array, weight: Array, picked: npt.NDArray[np.bool_]) -> Examples:
    return Examples(inputs=inputs[picked], targets=targets[picked], weight=weight[picked])


def _picked_groups(groups: npt.NDArray[np.str_], seed: int) -> npt.NDArray[np.bool_]:
    names = np.array(sorted(set(groups.tolist())))
    count = max(1, round(HELD_BACK * len(names)))
    return np.isin(groups, np.random.default_rng(seed).permutation(names)[:count])


def _seeded(training: Training, seed: int) -> Training:
    return replace(training, seed=training.seed + seed)
