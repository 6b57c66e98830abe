"""Age correction: deviations of a young channel underestimate its long-term deviations.

What flows in: the age of each channel. What flows out: the factor by which its deviations are too small.

The first hour of a device does not contain its nightly backup. Over the channels of a fleet, a deviation grows as a
power of the age, up to about a week. The powers were fitted to unlabelled rows (`python -m models growth`). Regressions
and networks on further properties of the first hours predict no better: docs/adr/0008.
"""

import numpy as np

from edge_agent.detection.anomaly.baseline import Array

MATURE_S = 7 * 86_400.0
"""From this age on, the measured deviation needs no correction."""
POWERS = {"row": 0.0, "level": 0.30, "jump": 0.14, "daily": 0.18, "rest": 0.24}
"""Powers of age, for each statistic of the Scorer. A level deviates further, since its mean is young, too. The row
itself only gives the range to display, and is not corrected."""
STATISTICS = tuple(POWERS)
_POWERS = np.array(list(POWERS.values()))[:, np.newaxis]


def age_factors(watched_s: Array) -> Array:
    """Return factors (statistics, n) of at least 1 for the ages of n channels in seconds."""
    if watched_s.size and watched_s.min() >= MATURE_S:
        return np.ones((len(_POWERS), len(watched_s)))
    young: Array = np.clip(watched_s / MATURE_S, np.finfo(np.float64).tiny, 1.0)
    factors: Array = young**-_POWERS
    return factors
