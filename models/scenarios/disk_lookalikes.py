"""Look-alikes of a disk that fills in one go: backups, downloads, upgrades, builds, restores.

What flows in: a draw. What flows out: a scenario in which the same happens at least twice, and ends by itself.
"""

from models.scenarios.draw import Draw
from models.scenarios.scenario import Scenario
from models.scenarios.shapes import during, ramp, rough
from models.scenarios.simulation import GIB, MIB, Simulation
from models.scenarios.timeline import DAY_S, HOUR_S, Array, Sampling, Span


def backup_nightly(draw: Draw) -> Scenario:
    """A backup to the same disk each night; of the older ones, the last one to three are kept."""
    return _backups(draw, every_s=DAY_S, kept=int(draw.rng.integers(1, 4)), sampling_period_s=60.0)


def backup_weekly(draw: Draw) -> Scenario:
    """A backup to the same disk each week; the last one is kept."""
    return _backups(draw, every_s=7 * DAY_S, kept=1, sampling_period_s=120.0)


def _backups(draw: Draw, *, every_s: float, kept: int, sampling_period_s: float) -> Scenario:
    duration_s, first_s = draw.between(0.15, 4) * HOUR_S, draw.uniform(1, 2.5) * DAY_S
    begins = [first_s + number * every_s + draw.uniform(-300, 300) for number in range(kept + 2 if kept > 1 else 2)]
    dense = [Span(begin_s=begin_s - HOUR_S, end_s=begin_s + duration_s + 4 * HOUR_S) for begin_s in begins]
    end_s = begins[-1] + duration_s + 8 * HOUR_S
    sim = draw.simulation(Sampling(duration_s=end_s, period_s=sampling_period_s, dense=dense, dense_period_s=60.0))
    mount = sim.largest
    size = sim.spare(mount) * draw.uniform(0.3, 0.85) / (kept + 1)
    grown: list[Array] = []
    ends = [begin_s + duration_s * draw.uniform(0.85, 1.15) for begin_s in begins]
    for begin_s, over_s in zip(begins, ends, strict=True):
        grown.append(
            sim.grow(mount, begin_s, over_s - begin_s, size * draw.uniform(0.93, 1.05), draw.uniform(0.1, 0.5))
        )
        sim.read += 1.5 * size / duration_s * during(sim.t_s, begin_s, over_s)
        sim.job(begin_s, over_s - begin_s, cpu=draw.uniform(0.05, 0.5), processes=3)
        if len(grown) > kept:
            sim.remove(mount, grown[-1 - kept], over_s + draw.uniform(10, 900))
    return draw.lookalike(sim, *zip(begins, ends, strict=True))


def _twice(draw: Draw, longest_s: float, dense_period_s: float = 10.0) -> tuple[Simulation, float, float]:
    """Return a simulation that is sampled densely around two times of different days, and these times."""
    first_s = draw.uniform(0.7, 2) * DAY_S
    second_s = first_s + draw.uniform(0.6, 1.5) * DAY_S
    dense = [Span(begin_s=at_s - 1200, end_s=at_s + longest_s + 2400) for at_s in (first_s, second_s)]
    sampling = Sampling(
        duration_s=second_s + longest_s + 5 * HOUR_S,
        dense=dense,
        dense_period_s=dense_period_s,
        midnight_s=draw.uniform(0, DAY_S),
    )
    return draw.simulation(sampling), first_s, second_s


def download_unpack(draw: Draw) -> Scenario:
    """An archive is downloaded, unpacked, and deleted; the next one replaces its contents."""
    loading_s, unpacking_s = draw.between(120, 3000), draw.between(60, 1200)
    sim, *begins = _twice(draw, loading_s + unpacking_s)
    mount, factor = sim.largest, draw.uniform(1.5, 4)
    archive = sim.spare(mount) * draw.uniform(0.1, 0.8) / (1 + 2 * factor)
    contents: list[Array] = []
    for begin_s in begins:
        over_s = begin_s + loading_s + unpacking_s
        loaded = sim.grow(mount, begin_s, loading_s, archive, draw.uniform(0.1, 0.8))
        sim.download(begin_s, loading_s, archive)
        contents.append(sim.grow(mount, begin_s + loading_s, unpacking_s, factor * archive))
        sim.job(begin_s + loading_s, unpacking_s, cpu=draw.uniform(0.2, 0.6), processes=2)
        sim.remove(mount, loaded, over_s + 30)
        if len(contents) > 1:
            sim.remove(mount, contents[0], over_s + 60)
    return draw.lookalike(sim, *((begin_s, begin_s + loading_s + unpacking_s) for begin_s in begins))


def package_upgrade(draw: Draw) -> Scenario:
    """Packages are downloaded to the root file system, unpacked beside the old ones, and cleaned away."""
    loading_s, unpacking_s = draw.between(60, 900), draw.between(120, 1800)
    sim, *begins = _twice(draw, loading_s + unpacking_s)
    packages = min(draw.between(80, 1200) * MIB, 0.3 * sim.spare("/"))
    for begin_s in begins:
        over_s = begin_s + loading_s + unpacking_s
        loaded = sim.grow("/", begin_s, loading_s, packages, 0.5)
        sim.download(begin_s, loading_s, packages)
        unpacked = sim.grow("/", begin_s + loading_s, unpacking_s, packages * draw.uniform(0.8, 1.6), 0.8)
        sim.inodes["/"] += packages / 20_000 * ramp(sim.t_s, begin_s + loading_s, unpacking_s)
        sim.job(begin_s, over_s - begin_s, cpu=draw.uniform(0.15, 0.5), processes=5, memory=0.05 * sim.host.memory)
        sim.created += draw.uniform(1, 15) * during(sim.t_s, begin_s + loading_s, over_s)
        sim.remove("/", loaded, over_s + draw.uniform(0, 600))
        sim.remove("/", unpacked, over_s + draw.uniform(0, 60), share=draw.uniform(0.7, 0.95))
    return draw.lookalike(sim, *((begin_s, begin_s + loading_s + unpacking_s) for begin_s in begins))


def image_pull(draw: Draw) -> Scenario:
    """Images of containers are pulled layer by layer; those that they replace are removed afterwards."""
    duration_s = draw.between(180, 2400)
    sim, *begins = _twice(draw, duration_s)
    mount = sim.largest
    images = min(draw.between(0.5, 12) * GIB, sim.spare(mount) * draw.uniform(0.2, 0.42))
    grown: list[Array] = []
    for begin_s in begins:
        grown.append(_layers(draw, sim, begin_s, duration_s, images))
        sim.remove(mount, grown[0], begin_s + duration_s + draw.uniform(60, 7200), share=float(len(grown) > 1))
        sim.job(begin_s, duration_s, cpu=draw.uniform(0.1, 0.5), processes=3, memory=0.03 * sim.host.memory)
        sim.job(begin_s + duration_s, 120, cpu=0.4, processes=10)
    return draw.lookalike(sim, *((begin_s, begin_s + duration_s) for begin_s in begins))


def _layers(draw: Draw, sim: Simulation, begin_s: float, duration_s: float, images: float) -> Array:
    """Pull layers one after the other, each downloaded (a third of its size) and then extracted."""
    layers = int(draw.rng.integers(3, 12))
    shares = draw.rng.dirichlet([1.5] * layers)
    total: Array = sim.constant(0.0)
    for share in shares.tolist():
        each_s, size = share * duration_s, share * images
        grown = sim.grow(sim.largest, begin_s, each_s, size, 0.4)
        sim.download(begin_s, 0.7 * each_s, 0.4 * size)
        total, begin_s = total + grown, begin_s + each_s
    return total


def build(draw: Draw) -> Scenario:
    """Compilers take all processors, much memory, and a growing folder that the next build begins by removing."""
    duration_s = draw.between(300, 7200)
    sim, *begins = _twice(draw, duration_s, dense_period_s=20.0)
    mount = sim.largest
    size = min(draw.between(0.2, 20) * GIB, sim.spare(mount) * draw.uniform(0.1, 0.6))
    memory = sim.available(begins[0]) * draw.uniform(0.2, 0.7)
    last: Array | None = None
    for begin_s in begins:
        if last is not None:
            sim.remove(mount, last, begin_s - 10)
        last = sim.grow(mount, begin_s, duration_s, size, 0.7)
        linked = rough(sim.rng, ramp(sim.t_s, begin_s, duration_s), 0.9) * draw.uniform(0.3, 1.0)
        sim.memory += memory * linked * during(sim.t_s, begin_s, begin_s + duration_s)
        sim.job(begin_s, duration_s, cpu=draw.uniform(0.6, 0.95), processes=3 * sim.host.cores)
        sim.created += draw.uniform(1, 10) * during(sim.t_s, begin_s, begin_s + duration_s)
    return draw.lookalike(sim, *((begin_s, begin_s + duration_s) for begin_s in begins))


def restore(draw: Draw) -> Scenario:
    """A backup is restored to the disk from the network, or from a drive; the test of it is deleted and repeated."""
    duration_s = draw.between(0.2, 10) * HOUR_S
    sim, *begins = _twice(draw, duration_s, dense_period_s=60.0)
    mount = sim.largest
    size, remote = sim.spare(mount) * draw.uniform(0.25, 0.85), draw.chance(0.6)
    last: Array | None = None
    for begin_s in begins:
        if last is not None:
            sim.remove(mount, last, begin_s - draw.uniform(600, 7200))
        last = sim.grow(mount, begin_s, duration_s, size, draw.uniform(0.05, 0.4))
        if remote:
            sim.download(begin_s, duration_s, size)
        sim.inodes[mount] += 0.02 * sim.host.volumes[mount].inodes * ramp(sim.t_s, begin_s, duration_s)
        sim.job(begin_s, duration_s, cpu=draw.uniform(0.1, 0.4), processes=2)
    return draw.lookalike(sim, *((begin_s, begin_s + duration_s) for begin_s in begins))
