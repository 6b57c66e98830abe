"""How much further a channel strays in the long run than it has shown while young.

What flows in: for how long each channel has been watched. What flows out: by what factor its deviations so far are
too small.

Nobody's first hour shows the backup of every night. Over the channels of a fleet a deviation grows as a power of the
time watched, until about a week. The powers were fitted to unlabelled rows (`python -m models growth`). What else a
channel's first hours show, given to a line or a network, tells no more: docs/adr/0008.
"""

import numpy as np

from edge_agent.detection.anomaly.baseline import Array

MATURE_S = 7 * 86_400.0
"""From here on a channel's own deviation is believed as it is."""
POWERS = {"row": 0.0, "level": 0.30, "jump": 0.14, "daily": 0.18, "rest": 0.24}
"""Of time, for each statistic of the Scorer. A level strays further from a mean that is young too; the row itself only
shows what is usual, and is shown as it was."""
STATISTICS = tuple(POWERS)
_POWERS = np.array(list(POWERS.values()))[:, np.newaxis]


def age_factors(watched_s: Array) -> Array:
    """From seconds that each of n channels was watched to factors (statistics, n), 1 and more."""
    if watched_s.size and watched_s.min() >= MATURE_S:
        return np.ones((len(_POWERS), len(watched_s)))
    young: Array = np.clip(watched_s / MATURE_S, np.finfo(np.float64).tiny, 1.0)
    factors: Array = young**-_POWERS
    return factors
