"""Faults: memory that a program never gives back. In: a draw. Out: a scenario that ends with the impact."""

import numpy as np

from models.scenarios.draw import Draw
from models.scenarios.scenario import Planned, Scenario
from models.scenarios.shapes import reset_at, rough, wander
from models.scenarios.simulation import Simulation
from models.scenarios.timeline import DAY_S, HOUR_S, Array, Sampling


def add_leak(sim: Simulation, impact_s: float, grown: Array) -> None:
    """Leak `grown` times what is available at the planned impact."""
    sim.memory += grown * sim.available(impact_s)


def _leaking(draw: Draw, sim: Simulation, onset_s: float, duration_s: float, rate: Array) -> Scenario:
    """Leak at a rate from the onset on, until the memory is used up."""
    grown = np.cumsum(rate * (sim.t_s >= onset_s) * np.diff(sim.t_s, prepend=sim.t_s[0]))
    grown /= np.interp(onset_s + duration_s, sim.t_s, grown)
    add_leak(sim, onset_s + duration_s, rough(sim.rng, grown, draw.uniform(0.0, 0.4)))
    return draw.faulty(sim, Planned(fault="memory.leak", component="memory", onset_s=onset_s))


def leak_slow(draw: Draw) -> Scenario:
    """A program leaks at a constant rate, for days."""
    sim, onset_s, duration_s = draw.onset(1 * DAY_S, 6 * DAY_S)
    return _leaking(draw, sim, onset_s, duration_s, sim.constant(1.0))


def leak_per_request(draw: Draw) -> Scenario:
    """A program leaks with each request, so faster by day than by night."""
    sim, onset_s, duration_s = draw.onset(5 * HOUR_S, 4 * DAY_S)
    return _leaking(draw, sim, onset_s, duration_s, sim.traffic ** draw.uniform(1.0, 1.8))


def leak_under_daily_rhythm(draw: Draw) -> Scenario:
    """A leak beneath sessions that come by day and go at night, which free more than leaks in a day."""
    sim, onset_s, duration_s = draw.onset(2.5 * DAY_S, 6 * DAY_S)
    sessions = sim.available(onset_s) * draw.uniform(0.1, 0.3)
    rhythm = 0.5 - 0.5 * np.cos(2 * np.pi * (sim.timeline.of_day_s() - draw.uniform(0, 4) * HOUR_S) / DAY_S)
    sim.memory += sessions * rhythm * (1 + 0.05 * wander(sim.rng, sim.t_s, HOUR_S))
    return _leaking(draw, sim, onset_s, duration_s, sim.constant(1.0))


def leak_accelerating(draw: Draw) -> Scenario:
    """A leak that grows with what has leaked already: a list that is searched, retries of retries."""
    sim, onset_s, duration_s = draw.onset(3 * HOUR_S, 4 * DAY_S)
    growth = draw.uniform(1.0, 3.5)
    return _leaking(
        draw, sim, onset_s, duration_s, np.exp(growth * np.clip((sim.t_s - onset_s) / duration_s, 0.0, 1.2))
    )


def leak_hidden_by_restart(draw: Draw) -> Scenario:
    """A restart each night frees what has leaked by day; the load grows, and one day the memory does not last.

    The leak began on the first day. The onset is the restart before the impact.
    """
    days, hour = int(draw.rng.integers(3, 6)), draw.uniform(1, 5)
    began_s = draw.uniform(0.7, 1.5) * DAY_S
    sim = draw.simulation(Sampling(duration_s=(days + 2.5) * DAY_S))
    first_day = int(began_s // DAY_S) + 1
    restarts = np.array([sim.timeline.at(day, hour) for day in range(first_day, first_day + days)])
    onset_s, peak = float(restarts[-1]), draw.uniform(0.55, 0.85)
    duration_s = draw.uniform(0.45, 0.9) * DAY_S
    growing = np.interp(sim.t_s, [began_s, onset_s - DAY_S, onset_s], [0.6, peak * duration_s / DAY_S, 1.0])
    rate: Array = np.where(sim.t_s >= began_s, growing * (0.7 + 0.3 * sim.traffic), 0.0)
    leaked = reset_at(sim.t_s, rate, restarts)
    add_leak(
        sim,
        onset_s + duration_s,
        _limited(leaked / np.interp(onset_s + duration_s, sim.t_s, leaked), sim, onset_s, peak),
    )
    for at_s in restarts.tolist():
        sim.job(at_s, 60, cpu=0.3, processes=4)
    return draw.faulty(sim, Planned(fault="memory.leak", component="memory", onset_s=onset_s, began_s=began_s))


def _limited(grown: Array, sim: Simulation, onset_s: float, peak: float) -> Array:
    """Keep the days before the last one below `peak` of what is available."""
    before = grown * (sim.t_s < onset_s)
    highest = float(before.max())
    return np.asarray(np.where(sim.t_s < onset_s, before * min(1.0, peak / highest), grown))
