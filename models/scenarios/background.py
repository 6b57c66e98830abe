"""What every device does besides: requests, garbage collection, small jobs, logs that are rotated, a page cache.

What flows in: a simulation. It is changed in place; nothing here takes more than a few hundredths of a resource.
"""

import numpy as np

from models.scenarios.shapes import reset_at, sawtooth, wander
from models.scenarios.simulation import MIB, Simulation
from models.scenarios.timeline import DAY_S, HOUR_S


def add_background(sim: Simulation) -> None:
    """Add everything."""
    _requests(sim)
    _memory(sim)
    _page_cache(sim)
    for mount in sim.disk:
        _logs(sim, mount)
    _hourly_jobs(sim)
    _daily_job(sim)


def _requests(sim: Simulation) -> None:
    rng, count = sim.rng, len(sim.t_s)
    sim.cpu += rng.uniform(0.03, 0.2) * sim.traffic + 0.01 * np.abs(rng.normal(0.0, 1.0, count))
    sim.waiting += rng.uniform(0.001, 0.01) * np.abs(rng.normal(1.0, 0.5, count))
    sim.received += rng.uniform(2e3, 2e5) * sim.traffic
    sim.sent += rng.uniform(2e3, 2e5) * sim.traffic
    sim.read += rng.uniform(1e3, 5e4) * np.abs(rng.normal(1.0, 0.7, count))
    sim.written += rng.uniform(5e3, 1e5) * sim.traffic
    sim.processes += rng.uniform(80, 220) + np.round(rng.uniform(0.5, 4) * sim.traffic)
    sim.created += rng.uniform(0.02, 1.0) * sim.traffic
    sim.files += rng.uniform(10, 200) * sim.traffic
    sim.process_files += rng.uniform(0.002, 0.05) * sim.traffic


def _memory(sim: Simulation) -> None:
    """Sessions follow the requests; a garbage collector frees every few minutes to hours."""
    rng, total = sim.rng, sim.host.memory
    sim.memory += total * rng.uniform(0.005, 0.05) * sim.traffic
    sim.memory += total * 0.004 * wander(rng, sim.t_s, 1200.0) + total * 0.001 * rng.normal(0.0, 1.0, len(sim.t_s))
    garbage, every_s = total * rng.uniform(0.002, 0.03), rng.uniform(300, 4 * HOUR_S)
    sim.memory += sawtooth(sim.t_s, sim.traffic * garbage / every_s, garbage)


def _page_cache(sim: Simulation) -> None:
    """Files that are read stay in memory, until a job displaces them."""
    wanted = sim.host.memory * sim.rng.uniform(0.1, 0.6)
    sim.cache += wanted * (1 + 0.1 * wander(sim.rng, sim.t_s, 4 * HOUR_S))


def _logs(sim: Simulation, mount: str) -> None:
    """Logs take up to half a hundredth and are rotated each day or each week; temporary files come and go."""
    rng, size = sim.rng, sim.host.volumes[mount].size
    every_s = DAY_S * (1 if rng.random() < 0.7 else 7)
    resets = np.arange(sim.timeline.at(0, rng.uniform(0, 6)), sim.t_s[-1], every_s)
    sim.disk[mount] += reset_at(sim.t_s, sim.traffic * size * rng.uniform(0.0003, 0.005) / every_s, resets[resets > 0])
    sim.disk[mount] += np.abs(size * rng.uniform(1e-5, 3e-4) * wander(rng, sim.t_s, 1800.0))
    sim.inodes[mount] += np.round(rng.uniform(10, 200) * sim.traffic)


def _hourly_jobs(sim: Simulation) -> None:
    rng, every_s = sim.rng, float(sim.rng.choice([900, HOUR_S, HOUR_S, 4 * HOUR_S]))
    minutes, cpu, mount = rng.uniform(0.5, 5), rng.uniform(0.05, 0.3), sim.largest
    temporary = min(40 * MIB, 0.002 * sim.host.volumes[mount].size) * rng.random()
    for begin_s in np.arange(rng.uniform(0, every_s), sim.t_s[-1], every_s):
        sim.job(begin_s, 60 * minutes, cpu=cpu, memory=0.01 * sim.host.memory * rng.random())
        sim.remove(mount, sim.grow(mount, begin_s, 60 * minutes, temporary), begin_s + 60 * minutes)


def _daily_job(sim: Simulation) -> None:
    """Indexing, updates of lists: reads much, and some files stay until the next day."""
    rng, hour, mount = sim.rng, sim.rng.uniform(0, 24), sim.largest
    size = 0.004 * sim.host.volumes[mount].size * rng.random()
    for day in range(int((sim.t_s[-1] + sim.timeline.midnight_s) // DAY_S) + 1):
        begin_s, duration_s = sim.timeline.at(day, hour), rng.uniform(120, 1500)
        sim.job(
            begin_s, duration_s, cpu=rng.uniform(0.1, 0.5), processes=4, memory=0.02 * sim.host.memory * rng.random()
        )
        sim.remove(mount, sim.grow(mount, begin_s, duration_s, size), begin_s + rng.uniform(0.05, 0.9) * DAY_S)
