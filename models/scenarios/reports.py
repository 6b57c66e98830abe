"""Public reports of false alarms, as scenarios with the parameters of the report. Nothing impacts in any of them.

What flows in: a draw, of the background only. What flows out: a scenario.
"""

import numpy as np

from models.scenarios.draw import Draw
from models.scenarios.scenario import Scenario
from models.scenarios.simulation import GIB, MIB, Host, Volume
from models.scenarios.timeline import DAY_S, HOUR_S, Sampling, Span


def _host(size: float, free: float) -> Host:
    """Return a device with one file system, of which `free` bytes are free."""
    volume = Volume(size=size, used=size - free, inodes=size / 16_384, inodes_used=size / 262_144)
    return Host(
        memory=4 * GIB,
        programs=1.2 * GIB,
        cores=4,
        volumes={"/": volume},
        file_limit=400_000,
        files=1500,
        process_files=0.08,
        fast=60 * MIB,
    )


def new_node_pulls_images(draw: Draw) -> Scenario:
    """prometheus-operator #1180: a new node pulls 3 GiB of images in 12 minutes, with 6 GiB free."""
    begin_s, duration_s = 300.0, 720.0
    dense = [Span(begin_s=0.0, end_s=2 * HOUR_S)]
    sampling = Sampling(duration_s=DAY_S, uptime_s=60.0, dense=dense, dense_period_s=5.0)
    sim = draw.simulation(sampling, _host(16 * GIB, 6 * GIB))
    sim.grow("/", begin_s, duration_s, 3 * GIB)
    sim.download(begin_s, duration_s, 1.2 * GIB)
    sim.job(begin_s, duration_s, cpu=0.4, processes=12)
    return draw.lookalike(sim, (begin_s, begin_s + duration_s))


def time_series_database(draw: Draw) -> Scenario:
    """kubernetes-mixin #98: 400 MiB more in two hours, compacted to 250; after two days its cap is reached.

    The report gives no sizes: 10 GiB, of which 8 are free, and a cap of 24 blocks.
    """
    every_s, block, begin_s = 2 * HOUR_S, 250 * MIB, 0.5 * DAY_S
    sim = draw.simulation(Sampling(duration_s=4 * DAY_S, period_s=60.0), _host(10 * GIB, 8 * GIB))
    grown_s = np.maximum(0.0, sim.t_s - begin_s)
    blocks = np.minimum(24.0, np.floor(grown_s / every_s))
    sim.disk["/"] += blocks * block + 400 * MIB * (grown_s % every_s) / every_s
    for at_s in np.arange(begin_s + every_s, sim.t_s[-1], every_s):
        sim.job(at_s, 60, cpu=0.3, memory=80 * MIB)
    return draw.lookalike(sim, (begin_s, begin_s + 2 * DAY_S))


def temporary_file(draw: Draw) -> Scenario:
    """netdata #9802: a temporary file of 6 of 20 GiB, each night, written in 20 minutes.

    Of the rest, 8 GiB are used. The file is removed a quarter of an hour after its end.
    """
    sim = draw.simulation(
        Sampling(duration_s=5 * DAY_S, period_s=60.0, midnight_s=12 * HOUR_S), _host(20 * GIB, 12 * GIB)
    )
    rises = []
    for day in range(1, 5):
        begin_s, duration_s = sim.timeline.at(day, 2.0), 1200.0
        sim.remove("/", sim.grow("/", begin_s, duration_s, 6 * GIB, 0.1), begin_s + duration_s + 900)
        sim.job(begin_s, duration_s, cpu=0.3, processes=2)
        rises.append((begin_s, begin_s + duration_s))
    return draw.lookalike(sim, *rises)


def package_lists(draw: Draw) -> Scenario:
    """netdata #859: package lists of 150 MiB are fetched each day, on a disk of 8 GiB."""
    sim = draw.simulation(Sampling(duration_s=4 * DAY_S, period_s=60.0, midnight_s=9 * HOUR_S), _host(8 * GIB, 3 * GIB))
    rises = []
    for day in range(1, 4):
        begin_s, duration_s = sim.timeline.at(day, 6.5), 240.0
        lists = sim.grow("/", begin_s, duration_s, 150 * MIB)
        sim.download(begin_s, duration_s, 40 * MIB)
        sim.job(begin_s, duration_s, cpu=0.3, processes=4)
        sim.remove("/", lists, begin_s + 0.9 * DAY_S)
        rises.append((begin_s, begin_s + duration_s))
    return draw.lookalike(sim, *rises)


def hourly_bursts(draw: Draw) -> Scenario:
    """awesome-prometheus-alerts #467: each hour a burst of 200 MiB of logs, which are rotated before the next one."""
    sim = draw.simulation(Sampling(duration_s=2 * DAY_S, period_s=20.0), _host(8 * GIB, 2 * GIB))
    rises = []
    for begin_s in np.arange(DAY_S, sim.t_s[-1] - HOUR_S, HOUR_S).tolist():
        burst = sim.grow("/", begin_s, 300.0, 200 * MIB, 0.4)
        sim.remove("/", burst, begin_s + 1800.0)
        rises.append((begin_s, begin_s + 300.0))
    return draw.lookalike(sim, *rises)
