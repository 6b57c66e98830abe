"""Look-alikes of a log that nobody rotates: logs, a journal and a recorder that keep to a size or a time of their own.

What flows in: a draw. What flows out: a scenario with at least two rises up to the cap.
"""

from itertools import pairwise

import numpy as np

from models.scenarios.draw import Draw
from models.scenarios.scenario import Scenario
from models.scenarios.shapes import after, reset_at
from models.scenarios.simulation import GIB, MIB, Simulation
from models.scenarios.timeline import DAY_S, HOUR_S, Array, Sampling


def log_rotated_by_time(draw: Draw) -> Scenario:
    """A busy log is rotated each day at the same hour, and the old one deleted or compressed."""
    first_day, hour = 1, draw.uniform(0, 7)
    sim = draw.simulation(Sampling(duration_s=draw.uniform(4.5, 5.5) * DAY_S))
    mount = sim.largest
    begin_s = sim.timeline.at(0, draw.uniform(12, 36))
    rotations = np.array([sim.timeline.at(day, hour) for day in range(first_day, 6)])
    rotations = rotations[rotations > begin_s]
    size = sim.spare(mount) * draw.uniform(0.15, 0.75)
    rate = size / DAY_S * _at_most_mean_one(sim.traffic) * after(sim.t_s, begin_s)
    sim.disk[mount] += 0.9 * reset_at(sim.t_s, rate, rotations)
    sim.job(begin_s, 60, cpu=0.2, processes=2)
    for at_s in rotations.tolist():
        sim.disk[mount] += 0.03 * size * ((sim.t_s >= at_s) & (sim.t_s < at_s + 2 * DAY_S))
        sim.job(at_s, draw.uniform(20, 600), cpu=draw.uniform(0.1, 0.4), processes=2)
    begins = [begin_s, *rotations.tolist()]
    return draw.lookalike(sim, *((begin, end) for begin, end in pairwise(begins) if end < sim.t_s[-1]))


def _at_most_mean_one(traffic: Array) -> Array:
    return np.asarray(traffic / max(1.0, float(traffic.mean())))


def log_rotated_by_size(draw: Draw) -> Scenario:
    """A log is rotated whenever it reaches its size: every hour or every day, as busy as the device is."""
    every_s, begin_s = draw.between(0.5, 20) * HOUR_S, draw.uniform(0.7, 2) * DAY_S
    sim = draw.simulation(Sampling(duration_s=begin_s + 3.5 * every_s + DAY_S, midnight_s=draw.uniform(0, DAY_S)))
    mount = sim.largest
    size = sim.spare(mount) * draw.uniform(0.1, 0.75)
    return draw.lookalike(sim, *_to_cap(sim, mount, size, size, sim.traffic * size / every_s * after(sim.t_s, begin_s)))


def journal_to_cap(draw: Draw) -> Scenario:
    """The journal grows for days to a tenth of the file system; then its oldest file goes for each new one."""
    filling_s, begin_s = draw.between(0.4, 3) * DAY_S, draw.uniform(0.5, 1.5) * DAY_S
    vacuumed_s = begin_s + 1.3 * filling_s + draw.uniform(0.3, 1) * DAY_S
    sim = draw.simulation(Sampling(duration_s=vacuumed_s + 1.3 * filling_s + DAY_S))
    size = sim.host.volumes["/"].size
    cap = min(4 * GIB, 0.1 * size)
    sim.disk["/"] += max(0.0, sim.spare("/") - cap * draw.uniform(1.15, 4))  # what else is on the disk
    rate = sim.traffic * cap / filling_s * draw.uniform(0.9, 1.1)
    return draw.lookalike(sim, *_two_fillings(sim, "/", cap, draw.between(8, 128) * MIB, rate, (begin_s, vacuumed_s)))


def recorder_to_cap(draw: Draw) -> Scenario:
    """A video recorder fills its disk to a cap, then deletes its oldest file for each new one; once it is emptied."""
    filling_s, begin_s = draw.between(0.25, 3) * DAY_S, draw.uniform(0.5, 1.5) * DAY_S
    emptied_s = begin_s + filling_s + draw.uniform(0.3, 1.2) * DAY_S
    sim = draw.simulation(Sampling(duration_s=emptied_s + filling_s + DAY_S))
    mount = sim.largest
    cap = sim.spare(mount) - sim.host.volumes[mount].size * draw.uniform(0.05, 0.2)
    rate = cap / filling_s * (1 + 0.05 * sim.rng.normal(0.0, 1.0, len(sim.t_s)))
    sim.received += rate  # from cameras
    file = draw.uniform(0.002, 0.02) * cap
    return draw.lookalike(sim, *_two_fillings(sim, mount, cap, file, rate, (begin_s, emptied_s)))


def _two_fillings(
    sim: Simulation, mount: str, cap: float, file: float, rate: Array, begins: tuple[float, float]
) -> list[tuple[float, float]]:
    """Fill to the cap from each of two times on; at the second one everything is deleted first."""
    first_s, second_s = begins
    first = _to_cap(sim, mount, cap, file, rate * ((sim.t_s >= first_s) & (sim.t_s < second_s)), until_s=second_s)
    return [first[0], _to_cap(sim, mount, cap, file, rate * after(sim.t_s, second_s))[0]]


def _to_cap(
    sim: Simulation, mount: str, cap: float, file: float, rate: Array, until_s: float = float("inf")
) -> list[tuple[float, float]]:
    """Write at `rate` up to the cap, there delete `file` bytes; return (begin, end) of each rise to the cap."""
    grown = np.concatenate([[0.0], np.cumsum(rate[1:] * np.diff(sim.t_s))])
    dropped = file * np.ceil(np.maximum(0.0, grown - cap) / file)
    sim.disk[mount] += np.maximum(0.0, grown - dropped) * (sim.t_s < until_s)
    sim.written += rate * (dropped > 0)  # in its place something is deleted
    drops = np.flatnonzero(np.diff(dropped) > 0) + 1
    begin_s = float(sim.t_s[np.argmax(rate > 0)])
    ends = sim.t_s[drops].tolist() or [float(sim.t_s[-1])]
    return list(zip([begin_s, *ends[:-1]], ends, strict=True))
