"""Builders of small scenarios: one file system that fills as a test wants it to."""

import numpy as np
import numpy.typing as npt

from models.scenarios.readings import free_series
from models.scenarios.scenario import Impact, Kind, Rise, Scenario
from models.scenarios.simulation import GIB
from models.scenarios.timeline import HOUR_S, Reboot, Sampling, sampled

FREE = free_series("/")
USED = FREE.replace("state=free", "state=used")


def a_scenario(
    free: npt.NDArray[np.float64],
    *,
    impacts: tuple[Impact, ...] = (),
    rises: tuple[Rise, ...] = (),
    reboots: tuple[Reboot, ...] = (),
) -> Scenario:
    """A disk of 10 GiB of which `free` GiB are free, minute by minute."""
    timeline = sampled(Sampling(duration_s=60.0 * len(free), period_s=60.0, reboots=reboots), "test")
    left = np.interp(timeline.t_s, 60.0 * np.arange(len(free)), free) * GIB
    return Scenario(
        family="test",
        kind=Kind.FAULT if impacts else Kind.LOOKALIKE,
        seed=1,
        timeline=timeline,
        series={FREE: left, USED: 10 * GIB - left, "system.uptime": timeline.uptime_s},
        impacts=impacts,
        rises=rises,
    )


def filling(hours_before: float = 2.0, hours: float = 3.0, lowest: float = 0.0) -> npt.NDArray[np.float64]:
    """Return 6 GiB free, which fall to `lowest` in `hours`, and then stay for an hour."""
    t_h = np.arange(0.0, hours_before + hours + 1, 1 / 60)
    return np.asarray(6 - (6 - lowest) * np.clip((t_h - hours_before) / hours, 0, 1))


def a_full_disk() -> Scenario:
    """A disk that fills from hour 2 to hour 5."""
    impact = Impact(fault="disk.filling", component="/", began_s=2 * HOUR_S, onset_s=2 * HOUR_S, impact_s=5 * HOUR_S)
    return a_scenario(filling(), impacts=(impact,))
