"""Look-alikes of a leak: memory that fills to a level of its own and stays there.

What flows in: a draw. What flows out: a scenario with two rises, the second one after a restart or an eviction.
"""

import numpy as np

from models.scenarios.draw import Draw
from models.scenarios.scenario import Scenario
from models.scenarios.shapes import after, during, ramp, rough, saturating, sawtooth, wander
from models.scenarios.simulation import Simulation, random_host
from models.scenarios.timeline import DAY_S, HOUR_S, Array, Reboot, Sampling, Span


def _filled(draw: Draw, sim: Simulation, begin_s: float, duration_s: float) -> Array:
    """Rise from 0 to 1: straight, or slower towards its end."""
    straight = draw.chance(0.5)
    shape = ramp(sim.t_s, begin_s, duration_s) if straight else saturating(sim.t_s, begin_s, duration_s / 3)
    return rough(sim.rng, shape, draw.uniform(0.1, 0.5))


def heap_warm_up(draw: Draw) -> Scenario:
    """A virtual machine of Java or of a browser fills its heap up to its maximum, after each start of the service."""
    first_s, duration_s = draw.uniform(0.5, 2) * DAY_S, draw.between(0.3, 8) * HOUR_S
    second_s = first_s + duration_s + draw.uniform(0.4, 1.5) * DAY_S
    sim = draw.simulation(Sampling(duration_s=second_s + duration_s + 6 * HOUR_S, midnight_s=draw.uniform(0, DAY_S)))
    heap = sim.spare_memory() * draw.uniform(0.35, 0.85)
    every_s, share = draw.uniform(60, 1200), draw.uniform(0.02, 0.1)
    garbage = sawtooth(sim.t_s, sim.traffic * share * heap / every_s, share * heap)
    for begin_s, end_s in ((first_s, second_s), (second_s, float("inf"))):
        filled = _filled(draw, sim, begin_s, duration_s)
        sim.memory += during(sim.t_s, begin_s, end_s) * (filled * (1 - share) * heap + np.minimum(filled, 1) * garbage)
        sim.process_files += during(sim.t_s, begin_s, end_s) * 0.02
        sim.job(begin_s, draw.uniform(30, 300), cpu=draw.uniform(0.2, 0.6), processes=draw.uniform(1, 6))
    return draw.lookalike(sim, (first_s, first_s + duration_s), (second_s, second_s + duration_s))


def buffer_pool_warm_up(draw: Draw) -> Scenario:
    """A database fills its buffer pool with the pages that are asked for, after each of its starts."""
    first_s, duration_s = draw.uniform(0.5, 2) * DAY_S, draw.between(1, 24) * HOUR_S
    second_s = first_s + duration_s + draw.uniform(0.5, 1.5) * DAY_S
    sim = draw.simulation(Sampling(duration_s=second_s + duration_s + 6 * HOUR_S, midnight_s=draw.uniform(0, DAY_S)))
    pool, page_rate = sim.spare_memory() * draw.uniform(0.4, 0.85), draw.uniform(1.0, 1.5)
    for begin_s, end_s in ((first_s, second_s), (second_s, float("inf"))):
        asked = np.cumsum(after(sim.t_s, begin_s) * sim.traffic * np.diff(sim.t_s, prepend=0.0))
        filled = 1 - np.exp(-asked / (duration_s / draw.uniform(2.0, 3.5)))
        grown = during(sim.t_s, begin_s, end_s) * filled * pool
        sim.memory += grown
        sim.read += page_rate * np.maximum(0.0, np.diff(grown, prepend=0.0)) / 60
        sim.job(begin_s, draw.uniform(20, 120), cpu=draw.uniform(0.1, 0.4), processes=draw.uniform(3, 12))
    return draw.lookalike(sim, (first_s, first_s + duration_s), (second_s, second_s + duration_s))


def page_cache(draw: Draw) -> Scenario:
    """A scan of many files fills the page cache: free memory falls to nothing, available memory stays."""
    first_s, duration_s = draw.uniform(0.7, 2) * DAY_S, draw.between(0.2, 10) * HOUR_S
    second_s = first_s + duration_s + draw.uniform(0.4, 1.2) * DAY_S
    sim = draw.simulation(Sampling(duration_s=second_s + duration_s + 6 * HOUR_S, midnight_s=draw.uniform(0, DAY_S)))
    for begin_s in (first_s, second_s):
        cached = rough(sim.rng, ramp(sim.t_s, begin_s, duration_s), 0.4) * sim.host.memory
        dropped_s = begin_s + duration_s + draw.uniform(1, 5) * HOUR_S
        sim.cache += cached * (sim.t_s < dropped_s)
        sim.read += np.maximum(0.0, np.diff(cached, prepend=0.0)) / 60
        sim.memory += 0.03 * sim.host.memory * during(sim.t_s, begin_s, begin_s + duration_s)  # dirty pages, buffers
        sim.job(begin_s, duration_s, cpu=draw.uniform(0.05, 0.3), processes=draw.uniform(1, 4))
    return draw.lookalike(sim, (first_s, first_s + duration_s), (second_s, second_s + duration_s))


def adaptive_replacement_cache(draw: Draw) -> Scenario:
    """The cache of ZFS counts as used memory; it grows with what is read, up to its maximum, and yields to programs."""
    first_s, duration_s = draw.uniform(0.5, 2) * DAY_S, draw.between(0.5, 16) * HOUR_S
    second_s = first_s + duration_s + draw.uniform(0.4, 1.2) * DAY_S
    sim = draw.simulation(Sampling(duration_s=second_s + duration_s + 6 * HOUR_S, midnight_s=draw.uniform(0, DAY_S)))
    sim.job(second_s - 1200, 1200, cpu=0.3, processes=3, memory=0.1 * sim.host.memory)
    most, kept = sim.spare_memory() * draw.uniform(0.45, 0.85), draw.uniform(0.1, 0.4)
    first = _filled(draw, sim, first_s, duration_s)
    second = kept + (1 - kept) * _filled(draw, sim, second_s, duration_s)
    filled = np.where(sim.t_s < second_s, first, second)
    sim.memory += most * filled * (1 + 0.01 * wander(sim.rng, sim.t_s, 1800.0))
    sim.read += most * np.maximum(0.0, np.diff(filled, prepend=0.0)) / 60
    return draw.lookalike(sim, (first_s, first_s + duration_s), (second_s, second_s + duration_s))


def boot(draw: Draw) -> Scenario:
    """After a boot, services start one after the other: memory, open files and processes rise for minutes."""
    first_s = draw.uniform(0.5, 2) * DAY_S
    second_s = first_s + draw.uniform(0.5, 1.5) * DAY_S
    duration_s = draw.between(180, 2400)
    reboots = [Reboot(begin_s=at_s - draw.uniform(20, 600), end_s=at_s) for at_s in (first_s, second_s)]
    dense = [Span(begin_s=at_s - 600, end_s=at_s + 2 * duration_s + 1800) for at_s in (first_s, second_s)]
    end_s = second_s + 8 * HOUR_S
    sim = draw.simulation(Sampling(duration_s=end_s, dense=dense, reboots=reboots), random_host(draw.rng))
    size, base = sim.spare_memory() * draw.uniform(0.3, 0.7), draw.uniform(0.0, 0.2)
    sim.memory += size * (sim.t_s < first_s)
    for begin_s, until_s in ((first_s, second_s), (second_s, end_s)):
        started = base + (1 - base) * rough(sim.rng, ramp(sim.t_s, begin_s, duration_s), draw.uniform(0.2, 0.8))
        sim.memory += during(sim.t_s, begin_s, until_s) * size * started
        sim.processes -= during(sim.t_s, begin_s, until_s) * 60 * (1 - started)
        sim.files -= during(sim.t_s, begin_s, until_s) * 0.5 * sim.host.files * (1 - started)
        sim.job(begin_s, duration_s, cpu=draw.uniform(0.3, 0.8), processes=20)
        sim.grow(sim.largest, begin_s, duration_s, draw.uniform(0.0, 0.01) * sim.free(sim.largest, begin_s))
    return draw.lookalike(sim, (first_s, first_s + duration_s), (second_s, second_s + duration_s))
