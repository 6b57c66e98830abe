"""Faults: disks, inodes and open files that run out. In: a draw. Out: a scenario that ends with the impact."""

import numpy as np

from models.scenarios.draw import BEYOND, Draw
from models.scenarios.memory_faults import add_leak
from models.scenarios.scenario import Planned, Scenario
from models.scenarios.shapes import rough
from models.scenarios.simulation import Simulation
from models.scenarios.timeline import DAY_S, HOUR_S, Array


def progress(sim: Simulation, onset_s: float, duration_s: float, rate: Array) -> Array:
    """Accumulate a rate from the onset on: 1 at the planned impact, and no more than BEYOND."""
    grown: Array = np.cumsum(rate * (sim.t_s >= onset_s) * np.diff(sim.t_s, prepend=sim.t_s[0]))
    return np.asarray(np.minimum(BEYOND, grown / np.interp(onset_s + duration_s, sim.t_s, grown)))


def _fill(sim: Simulation, mount: str, impact_s: float, grown: Array) -> None:
    sim.disk[mount] += grown * 1.001 * sim.free(mount, impact_s)


def log_unrotated(draw: Draw) -> Scenario:
    """A log that nobody rotates fills the disk, as fast as requests come or as a clock ticks."""
    sim, onset_s, duration_s = draw.onset(2 * HOUR_S, 5 * DAY_S)
    mount = sim.largest if draw.chance(0.6) else "/"
    rate = sim.traffic if draw.chance(0.5) else sim.constant(1.0)
    _fill(
        sim,
        mount,
        onset_s + duration_s,
        rough(sim.rng, progress(sim, onset_s, duration_s, rate), draw.uniform(0.0, 0.4)),
    )
    return draw.faulty(sim, Planned(fault="disk.filling", component=mount, onset_s=onset_s))


def debug_log_in_bursts(draw: Draw) -> Scenario:
    """A forgotten debug log writes in bursts of minutes, with pauses in between, until the disk is full."""
    sim, onset_s, duration_s = draw.onset(5 * HOUR_S, 4 * DAY_S)
    mount = sim.largest if draw.chance(0.5) else "/"
    burst_s, pause_s = draw.uniform(180, 1800), draw.uniform(600, 5400)
    lengths = draw.rng.uniform(0.5, 1.5, (int(sim.t_s[-1] / (burst_s + pause_s)) * 2 + 4, 2)) * (burst_s, pause_s)
    edges = onset_s + np.concatenate([[0.0], np.cumsum(lengths.ravel())])
    bursting = (np.searchsorted(edges, sim.t_s, side="right") % 2 == 1).astype(np.float64)
    sim.cpu += 0.05 * bursting * (sim.t_s >= onset_s)
    rate = (0.03 + bursting) * sim.traffic
    _fill(sim, mount, onset_s + duration_s, progress(sim, onset_s, duration_s, rate))
    return draw.faulty(sim, Planned(fault="disk.filling", component=mount, onset_s=onset_s))


def inodes(draw: Draw) -> Scenario:
    """Small files of sessions or of a queue are never deleted: inodes run out long before space does."""
    sim, onset_s, duration_s = draw.onset(3 * HOUR_S, 4 * DAY_S)
    mount = sim.largest if draw.chance(0.5) else "/"
    rate = sim.traffic if draw.chance(0.6) else sim.constant(1.0)
    grown = rough(sim.rng, progress(sim, onset_s, duration_s, rate), draw.uniform(0.0, 0.5))
    left = sim.host.volumes[mount].inodes - float(np.interp(onset_s + duration_s, sim.t_s, sim.inodes[mount]))
    sim.inodes[mount] += 1.001 * left * grown
    sim.disk[mount] += draw.uniform(0.0, 0.3) * sim.free(mount, onset_s) * grown
    return draw.faulty(sim, Planned(fault="inodes.filling", component=mount, onset_s=onset_s))


def descriptors(draw: Draw) -> Scenario:
    """Connections or files are never closed: a process reaches its limit, or all together that of the kernel."""
    sim, onset_s, duration_s = draw.onset(1 * HOUR_S, 3 * DAY_S)
    rate = sim.traffic if draw.chance(0.7) else sim.constant(1.0)
    grown = rough(sim.rng, progress(sim, onset_s, duration_s, rate), draw.uniform(0.0, 0.6))
    of_process = draw.chance(0.7)
    if of_process:
        limit = float(draw.rng.choice([1024, 4096, 8192, 65536]))
        sim.process_files += 1.005 * (1 - np.interp(onset_s + duration_s, sim.t_s, sim.process_files)) * grown
        sim.files += grown * limit
    else:
        sim.files += 1.005 * (sim.host.file_limit - np.interp(onset_s + duration_s, sim.t_s, sim.files)) * grown
    component = "process" if of_process else "system"
    return draw.faulty(sim, Planned(fault="fd.leak", component=component, onset_s=onset_s))


def two_at_once(draw: Draw) -> Scenario:
    """A disk fills and memory leaks in the same days: each must be found."""
    sim, onset_s, duration_s = draw.onset(6 * HOUR_S, 3 * DAY_S)
    mount = sim.largest
    disk_onset_s, leak_onset_s = onset_s, onset_s + draw.uniform(-0.2, 0.3) * duration_s
    impact_s = onset_s + duration_s
    _fill(sim, mount, impact_s, rough(sim.rng, progress(sim, disk_onset_s, duration_s, sim.traffic), 0.3))
    leaked_s = (impact_s - leak_onset_s) * draw.uniform(0.85, 1.0)
    add_leak(
        sim, leak_onset_s + leaked_s, rough(sim.rng, progress(sim, leak_onset_s, leaked_s, sim.constant(1.0)), 0.3)
    )
    return draw.faulty(
        sim,
        Planned(fault="disk.filling", component=mount, onset_s=disk_onset_s),
        Planned(fault="memory.leak", component="memory", onset_s=leak_onset_s),
    )
