"""The random draw of one scenario: its family, its seed, and a generator that depends on both."""

import zlib
from dataclasses import dataclass, field

import numpy as np

from models.scenarios.background import add_background
from models.scenarios.scenario import Planned, Rise, Scenario, faulty, lookalike
from models.scenarios.simulation import Host, Simulation, random_host
from models.scenarios.timeline import HOUR_S, Sampling, sampled

TAIL_S = HOUR_S  # after a rise has ended: a case that opens then is still about that rise


@dataclass(slots=True)
class Draw:
    """Draws parameters, makes the simulation with its background, and finishes the scenario."""

    family: str
    seed: int
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.seed, zlib.crc32(self.family.encode())])

    def uniform(self, low: float, high: float) -> float:
        """Draw between two values."""
        return float(self.rng.uniform(low, high))

    def between(self, low: float, high: float) -> float:
        """Draw between two positive values of different magnitude: uniform in the logarithm."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def chance(self, share: float) -> bool:
        """Return True in a share of the draws."""
        return bool(self.rng.random() < share)

    def simulation(self, sampling: Sampling, host: Host | None = None) -> Simulation:
        """Return a simulation with its background, on a random host unless one is given."""
        host = host or random_host(self.rng)
        sim = Simulation(self.rng, sampled(sampling, f"{self.family}/{self.seed}"), host)
        add_background(sim)
        return sim

    def lookalike(self, sim: Simulation, *rises: tuple[float, float]) -> Scenario:
        """Finish a scenario in which nothing impacts; each rise is (begin_s, end_s)."""
        begins = [begin_s for begin_s, _ in rises[1:]] + [float("inf")]
        known = [
            Rise(begin_s=begin_s, end_s=end_s, until_s=min(end_s + TAIL_S, following_s))
            for (begin_s, end_s), following_s in zip(rises, begins, strict=True)
        ]
        return lookalike(self.family, self.seed, sim, known)

    def faulty(self, sim: Simulation, *planned: Planned) -> Scenario:
        """Finish a scenario whose faults impact."""
        return faulty(self.family, self.seed, sim, *planned)
