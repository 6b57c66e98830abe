"""Public reports of false alarms: the scenario is what the report describes."""

import numpy as np
import pytest

from models.scenarios import Scenario, build
from models.scenarios.readings import free_series
from models.scenarios.simulation import GIB, MIB
from models.scenarios.timeline import DAY_S, HOUR_S

FREE = free_series("/")


def taken(scenario: Scenario, begin_s: float, end_s: float) -> float:
    """Return how many bytes less are free at the end of a span."""
    free = np.interp([begin_s, end_s], scenario.timeline.t_s, scenario.series[FREE])
    return float(free[0] - free[1])


def test_a_new_node_pulls_three_gib_in_twelve_minutes_with_six_free() -> None:
    scenario = build("prometheus-operator-1180", 0)
    (pull,) = scenario.rises
    assert pull.end_s - pull.begin_s == 720
    assert scenario.timeline.uptime_s[0] == 60
    assert scenario.series[FREE][0] == pytest.approx(6 * GIB, rel=0.01)
    assert taken(scenario, pull.begin_s, pull.end_s) == pytest.approx(3 * GIB, rel=0.01)


def test_a_database_takes_400_mib_in_two_hours_keeps_250_and_stops_at_its_cap() -> None:
    scenario = build("kubernetes-mixin-98", 0)
    begin_s = scenario.rises[0].begin_s
    assert taken(scenario, begin_s, begin_s + 2 * HOUR_S - 60) == pytest.approx(400 * MIB, rel=0.1)
    assert taken(scenario, begin_s, begin_s + DAY_S) == pytest.approx(12 * 250 * MIB, rel=0.05)
    assert taken(scenario, begin_s + 2 * DAY_S, begin_s + 3 * DAY_S) == pytest.approx(0, abs=100 * MIB)


def test_a_temporary_file_takes_6_of_20_gib_in_20_minutes_of_each_night() -> None:
    scenario = build("netdata-9802", 0)
    assert len(scenario.rises) == 4
    for rise in scenario.rises:
        assert rise.end_s - rise.begin_s == 1200
        assert taken(scenario, rise.begin_s, rise.end_s) == pytest.approx(6 * GIB, rel=0.01)
        assert taken(scenario, rise.begin_s, rise.end_s + HOUR_S) == pytest.approx(0, abs=60 * MIB)


def test_package_lists_take_150_mib_of_8_gib() -> None:
    scenario = build("netdata-859", 0)
    rise = scenario.rises[0]
    assert taken(scenario, rise.begin_s, rise.end_s) == pytest.approx(150 * MIB, rel=0.1)


def test_a_burst_of_200_mib_comes_each_hour_and_is_rotated() -> None:
    scenario = build("awesome-prometheus-alerts-467", 0)
    begins = [rise.begin_s for rise in scenario.rises]
    assert np.diff(begins).tolist() == [HOUR_S] * (len(begins) - 1)
    for begin_s in begins[:3]:
        assert taken(scenario, begin_s, begin_s + 300) == pytest.approx(200 * MIB, rel=0.1)
        assert taken(scenario, begin_s, begin_s + HOUR_S - 60) == pytest.approx(0, abs=20 * MIB)
