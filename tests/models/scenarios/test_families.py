"""Scenarios: their truth holds by construction."""

from functools import lru_cache

import numpy as np
import pytest

from edge_agent.protocol.metrics import METRICS, Kind, metric_of, series_name
from models.datasets import DataError
from models.scenarios import FAMILIES, FAULTY, LOOKALIKES, REPORTS, Scenario, build
from models.scenarios import Kind as ScenarioKind
from models.scenarios.scenario import headroom

SEEDS = range(2)
built = lru_cache(maxsize=None)(build)
LEAST_LEFT = 0.02  # of the resource, at all times of a look-alike

MANY = [(family, seed) for family in FAMILIES for seed in SEEDS]


def every_headroom(scenario: Scenario) -> dict[tuple[str, str], float]:
    """Return the least headroom of each limited quantity, as a share of its highest."""
    mounts = {name.split("mountpoint=")[1].split(",")[0] for name in scenario.series if "inodes" in name}
    limits = [(fault, mount) for mount in mounts for fault in ("disk.filling", "inodes.filling")]
    limits += [("memory.leak", "memory"), ("fd.leak", "system"), ("fd.leak", "process")]
    left = {limit: headroom(scenario.series, *limit) for limit in limits}
    return {limit: float(values.min() / values.max()) for limit, values in left.items()}


@pytest.mark.parametrize(("family", "seed"), [each for each in MANY if each[0] not in FAULTY])
def test_a_look_alike_leaves_every_limit_alone(family: str, seed: int) -> None:
    scenario = built(family, seed)
    assert scenario.kind is ScenarioKind.LOOKALIKE
    assert not scenario.impacts
    assert min(every_headroom(scenario).values()) >= LEAST_LEFT


@pytest.mark.parametrize(("family", "seed"), [each for each in MANY if each[0] in FAULTY])
def test_a_fault_reaches_its_limit_at_the_impact_and_not_before(family: str, seed: int) -> None:
    scenario = built(family, seed)
    assert not scenario.rises
    for impact in scenario.impacts:
        left = headroom(scenario.series, impact.fault, impact.component)
        times = scenario.timeline.t_s
        assert impact.began_s <= impact.onset_s < impact.impact_s
        assert left[times == impact.impact_s] == 0
        assert (left[times < impact.impact_s] > 0).all()


@pytest.mark.parametrize(("family", "seed"), [each for each in MANY if each[0] in FAULTY])
def test_a_fault_leaves_the_other_limits_alone(family: str, seed: int) -> None:
    scenario = built(family, seed)
    reached = {limit for limit, least in every_headroom(scenario).items() if least < LEAST_LEFT}
    assert reached == {(impact.fault, impact.component) for impact in scenario.impacts}


@pytest.mark.parametrize("family", LOOKALIKES)
def test_a_look_alike_happens_twice_in_order(family: str) -> None:
    first, second = built(family, 1).rises[:2]
    assert 0 < first.begin_s < first.end_s <= first.until_s <= second.begin_s < second.end_s <= second.until_s


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_scenario_and_another_one_another(family: str) -> None:
    scenario, again, other = built(family, 1), build(family, 1), built(family, 0)
    assert scenario.rises == again.rises
    assert scenario.impacts == again.impacts
    assert all(np.array_equal(scenario.series[name], again.series[name]) for name in scenario.series)
    assert not np.array_equal(
        scenario.series["system.linux.memory.available"][:100], other.series["system.linux.memory.available"][:100]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_series_are_metrics_of_the_collectors_with_finite_values(family: str) -> None:
    scenario = built(family, 0)
    assert {series_name(name) for name in scenario.series} <= set(METRICS)
    for values in scenario.series.values():
        assert np.isfinite(values).all()
        assert (values >= 0).all()


@pytest.mark.parametrize("family", ["boot", "image-pull", "leak-slow"])
def test_totals_only_rise_within_a_boot_and_start_again_at_the_next(family: str) -> None:
    scenario = built(family, 1)
    booted = np.diff(scenario.timeline.boot) > 0
    totals = [values for name, values in scenario.series.items() if metric_of(name).kind is Kind.COUNTER]
    assert totals
    for values in totals:
        assert (np.diff(values)[~booted] >= 0).all()
        assert (values[1:][booted] <= values[:-1][booted]).all()


def test_there_are_as_many_families_as_promised() -> None:
    assert len(LOOKALIKES) >= 14
    assert len(FAULTY) == 10
    assert len(REPORTS) == 5


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match="scenario family 'flood' is unknown; choose one of heap-warm-up, "):
        build("flood", 1)
