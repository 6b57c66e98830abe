"""The random draw of one scenario: its family, its seed, and a generator that depends on both."""

import zlib
from dataclasses import dataclass, field

import numpy as np

from models.scenarios.background import add_background
from models.scenarios.scenario import Planned, Rise, Scenario, faulty, lookalike
from models.scenarios.simulation import MIB, Host, Simulation, random_host
from models.scenarios.timeline import DAY_S, HOUR_S, Sampling, sampled

BEYOND = 1.1  # a cause goes on for longer than it takes, so that noise can't prevent the impact


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

    def onset(self, shortest_s: float, longest_s: float) -> tuple[Simulation, float, float]:
        """Return a simulation for one fault, the onset of the fault, and the time from there to the impact.

        In half of the scenarios a new version is deployed at the onset: programs start, as before many look-alikes.
        """
        onset_s, duration_s = self.uniform(0.7, 3) * DAY_S, self.between(shortest_s, longest_s)
        sampling = Sampling(duration_s=onset_s + BEYOND * duration_s + HOUR_S, midnight_s=self.uniform(0, DAY_S))
        sim = self.simulation(sampling)
        if self.chance(0.5):
            sim.download(onset_s - 120, 100, self.between(1, 100) * MIB)
            sim.job(onset_s - 60, self.uniform(30, 300), cpu=self.uniform(0.1, 0.6), processes=self.uniform(1, 12))
        return sim, onset_s, duration_s

    def lookalike(self, sim: Simulation, *rises: tuple[float, float]) -> Scenario:
        """Finish a scenario in which nothing impacts; each rise is (begin_s, end_s)."""
        begins = [*(begin_s for begin_s, _ in rises[1:]), float("inf")]
        known = [
            Rise(begin_s=begin_s, end_s=end_s, until_s=following_s)
            for (begin_s, end_s), following_s in zip(rises, begins, strict=True)
        ]
        return lookalike(self.family, self.seed, sim, known)

    def faulty(self, sim: Simulation, *planned: Planned) -> Scenario:
        """Finish a scenario whose faults impact."""
        return faulty(self.family, self.seed, sim, *planned)
