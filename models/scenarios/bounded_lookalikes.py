"""Look-alikes of a resource that runs out: caches, pools, queues and databases that keep to a limit of their own.

What flows in: a draw. What flows out: a scenario in which the same happens at least twice, and ends by itself.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from models.scenarios.draw import Draw
from models.scenarios.scenario import Scenario
from models.scenarios.shapes import after, during, ramp, rough, wander
from models.scenarios.simulation import Simulation
from models.scenarios.timeline import DAY_S, HOUR_S, Array, Sampling, Span


def _starts(draw: Draw, shortest_s: float, longest_s: float) -> tuple[Simulation, tuple[float, float], float]:
    """Return a simulation, the two times from which something fills, and how long that takes."""
    duration_s, first_s = draw.between(shortest_s, longest_s), draw.uniform(0.5, 2) * DAY_S
    second_s = first_s + duration_s + draw.uniform(0.4, 1.5) * DAY_S
    sampling = Sampling(duration_s=second_s + duration_s + 6 * HOUR_S, midnight_s=draw.uniform(0, DAY_S))
    return draw.simulation(sampling), (first_s, second_s), duration_s


def _filling(sim: Simulation, begins: tuple[float, float], duration_s: float) -> Array:
    """Return a share that rises with the requests from 0 to 1 after each begin."""
    first_s, second_s = begins
    filled = sim.constant(0.0)
    for begin_s, end_s in ((first_s, second_s), (second_s, float("inf"))):
        asked = np.cumsum(after(sim.t_s, begin_s) * sim.traffic * np.diff(sim.t_s, prepend=0.0))
        filled += during(sim.t_s, begin_s, end_s) * np.minimum(1.0, asked / duration_s)
    return filled


def _rises(draw: Draw, sim: Simulation, begins: tuple[float, float], duration_s: float) -> Scenario:
    return draw.lookalike(sim, *((begin_s, begin_s + duration_s) for begin_s in begins))


def memory_cache(draw: Draw) -> Scenario:
    """A cache in memory fills with what is asked for, up to its maximum, after each start; then the oldest go."""
    sim, begins, duration_s = _starts(draw, HOUR_S, 30 * HOUR_S)
    most = sim.spare_memory() * draw.uniform(0.35, 0.85)
    filled = _filling(sim, begins, duration_s)
    sim.memory += most * filled * (1 + 0.005 * wander(sim.rng, sim.t_s, 1800.0))
    for begin_s in begins:
        sim.job(begin_s, draw.uniform(10, 60), cpu=0.1, processes=draw.uniform(1, 4))
    return _rises(draw, sim, begins, duration_s)


def thumbnail_cache(draw: Draw) -> Scenario:
    """Small files are cached up to a number; then the oldest are deleted. Once, the cache is emptied."""
    sim, begins, duration_s = _starts(draw, 1.5 * HOUR_S, 40 * HOUR_S)
    mount = sim.largest
    filled = _filling(sim, begins, duration_s)
    volume = sim.host.volumes[mount]
    sim.inodes[mount] += (volume.inodes - volume.inodes_used) * draw.uniform(0.3, 0.85) * filled
    sim.disk[mount] += sim.spare(mount) * draw.uniform(0.05, 0.6) * filled
    sim.read += draw.uniform(1e4, 1e6) * sim.traffic
    return _rises(draw, sim, begins, duration_s)


def connection_pool(draw: Draw) -> Scenario:
    """A service opens connections as clients come, up to the size of its pool, after each of its starts."""
    sim, begins, duration_s = _starts(draw, 0.3 * HOUR_S, 20 * HOUR_S)
    filled = _filling(sim, begins, duration_s)
    limit, share = float(draw.rng.choice([1024, 4096, 8192])), draw.uniform(0.4, 0.85)
    sim.process_files += (1 - float(sim.process_files.max())) * share * filled
    sim.files += limit * share * filled
    sim.memory += 0.1 * sim.spare_memory() * draw.uniform(0, 1) * filled
    for begin_s in begins:
        sim.job(begin_s, draw.uniform(20, 200), cpu=draw.uniform(0.1, 0.4), processes=draw.uniform(2, 12))
    return _rises(draw, sim, begins, duration_s)


def compacted_database(draw: Draw) -> Scenario:
    """A database writes its newest block in full, compacts it, and deletes the oldest one from some number on."""
    every_s, blocks, begin_s = (
        draw.between(0.5, 8) * HOUR_S,
        int(draw.rng.integers(4, 25)),
        draw.uniform(0.4, 1.5) * DAY_S,
    )
    sim = draw.simulation(Sampling(duration_s=begin_s + (blocks + 6) * every_s))
    mount, kept = sim.largest, draw.uniform(0.3, 0.7)
    block = sim.spare(mount) * draw.uniform(0.3, 0.8) / (blocks * kept + 1)
    lived = np.maximum(0.0, sim.t_s - begin_s) / every_s
    sim.disk[mount] += block * (kept * np.minimum(blocks, np.floor(lived)) + lived % 1.0)
    compactions = begin_s + every_s * np.arange(1, int((sim.t_s[-1] - begin_s) / every_s) + 1)
    for at_s in compactions.tolist():
        sim.job(at_s, draw.uniform(20, 300), cpu=0.3, processes=1)
        sim.read += block / 200 * during(sim.t_s, at_s, at_s + 200)
    begins = [begin_s, *compactions.tolist()]
    return draw.lookalike(sim, *pairwise(begins))


def _repeated(draw: Draw, shortest_s: float, longest_s: float, times: int) -> tuple[Simulation, list[float], float]:
    """Return a simulation sampled densely around each of some times, a day or so apart, and the duration of each."""
    duration_s = draw.between(shortest_s, longest_s)
    begins = [draw.uniform(0.7, 2) * DAY_S]
    while len(begins) < times:
        begins.append(begins[-1] + duration_s + draw.uniform(0.7, 1.3) * DAY_S)
    dense = [Span(begin_s=at_s - 1200, end_s=at_s + 2 * duration_s + 3600) for at_s in begins]
    sampling = Sampling(
        duration_s=begins[-1] + 2 * duration_s + 5 * HOUR_S,
        dense=dense,
        dense_period_s=20.0,
        midnight_s=draw.uniform(0, DAY_S),
    )
    return draw.simulation(sampling), begins, duration_s


def _ends(begins: Sequence[float], duration_s: float) -> list[tuple[float, float]]:
    return [(begin_s, begin_s + duration_s) for begin_s in begins]


def temporary_file(draw: Draw) -> Scenario:
    """A sort or an export writes a large temporary file, and deletes it when it is done."""
    sim, begins, duration_s = _repeated(draw, 300, 3 * HOUR_S, 3)
    mount, size = sim.largest, draw.uniform(0.3, 0.85)
    for begin_s in begins:
        written = sim.grow(mount, begin_s, duration_s, size * sim.spare(mount), draw.uniform(0.05, 0.5))
        sim.remove(mount, written, begin_s + duration_s * draw.uniform(1.02, 1.8))
        sim.read += written[-1] / duration_s * draw.uniform(0, 1.2) * during(sim.t_s, begin_s, begin_s + duration_s)
        sim.job(begin_s, duration_s, cpu=draw.uniform(0.1, 0.5), processes=2)
    return draw.lookalike(sim, *_ends(begins, duration_s))


def mirror_sync(draw: Draw) -> Scenario:
    """A mirror is fetched for the first time, then changes a little; another one follows on another day."""
    sim, begins, duration_s = _repeated(draw, 0.3 * HOUR_S, 12 * HOUR_S, 2)
    mount = sim.largest
    for share, begin_s in zip((draw.uniform(0.2, 0.55), draw.uniform(0.2, 0.55)), begins, strict=True):
        size = share * sim.spare(mount)
        sim.grow(mount, begin_s, duration_s, size, draw.uniform(0.05, 0.5))
        sim.download(begin_s, duration_s, size)
        sim.inodes[mount] += 0.1 * sim.host.volumes[mount].inodes * share * ramp(sim.t_s, begin_s, duration_s)
        sim.job(begin_s, duration_s, cpu=draw.uniform(0.05, 0.3), processes=2)
    return draw.lookalike(sim, *_ends(begins, duration_s))


def upload_queue(draw: Draw) -> Scenario:
    """The network is away for hours: what should be sent waits on the disk, and drains when it is back."""
    sim, begins, duration_s = _repeated(draw, 0.5 * HOUR_S, 14 * HOUR_S, 2)
    mount, size, files = sim.largest, draw.uniform(0.2, 0.8), draw.uniform(0.0, 0.5)
    for begin_s in begins:
        away = during(sim.t_s, begin_s, begin_s + duration_s)
        drained = 1 - ramp(sim.t_s, begin_s + duration_s, duration_s * draw.uniform(0.05, 0.8))
        waiting = rough(sim.rng, ramp(sim.t_s, begin_s, duration_s), draw.uniform(0.05, 0.4)) * drained
        sim.disk[mount] += size * sim.spare(mount) * waiting
        sim.inodes[mount] += files * (sim.host.volumes[mount].inodes - sim.inodes[mount]) * waiting
        sim.received *= 1 - away
        sim.sent *= 1 - away
    return draw.lookalike(sim, *_ends(begins, duration_s))
