"""A fleet's knowledge: the weights that its devices share, and by how much they differ."""

import copy

import numpy as np
import pytest

from edge_agent.detection.relations.quantities import Quantity
from edge_agent.detection.relations.relations import RELATIONS, WARM_ROWS, Relations
from edge_agent.detection.trends.multiscale_window import Array
from models.fleet_prior import learn
from models.relations import fleet

COOLING = [relation.fault for relation in RELATIONS].index("thermal.cooling")


def a_device(rng: np.random.Generator, rows: int = 300) -> Array:
    """A device whose temperature is its own base and 20 K for all of its CPU; disk and load follow simple rules."""
    busy = np.repeat(rng.uniform(0, 1, rows // 30), 30)
    found = np.zeros((rows, len(Quantity)))
    found[:, Quantity.CPU] = busy
    found[:, Quantity.LOAD] = 2 * busy + rng.normal(0, 0.02, rows) ** 2
    found[:, Quantity.WRITES] = rng.uniform(5, 50, rows)
    found[:, Quantity.BUSY] = found[:, Quantity.WRITES] * 2e-3 * rng.uniform(0.9, 1.1, rows)
    found[:, Quantity.HEAT] = rng.uniform(30, 50) + 20 * busy + rng.normal(0, 0.2, rows)
    return found


def test_a_new_device_is_expected_to_be_like_its_fleet_where_it_has_not_been_yet() -> None:
    rng = np.random.default_rng(5)
    relations = Relations(fleet("test-1", learn([a_device(rng) for _ in range(40)])))
    idle = a_device(rng, 90)[:1].repeat(WARM_ROWS + 60, axis=0)
    idle[:, Quantity.CPU], idle[:, Quantity.LOAD] = 0.0, 0.0
    idle[:, Quantity.HEAT] = 41.0 + rng.normal(0, 0.2, len(idle))
    for row in idle:
        relations.evaluate(row)
    for hotter, too_hot in ((16, False), (40, True)):
        detector, busy = copy.deepcopy(relations), idle[0].copy()
        busy[Quantity.CPU], busy[Quantity.HEAT] = 0.8, 41 + hotter
        results = [detector.evaluate(busy)[COOLING] for _ in range(10)]
        assert any(one.above for one in results if one) == too_hot


def test_devices_that_differ_more_leave_more_doubt() -> None:
    rng = np.random.default_rng(5)
    devices = [a_device(rng) for _ in range(40)]
    alike = [device.copy() for device in devices]
    for device in alike:
        device[:, Quantity.HEAT] = 40 + 20 * device[:, Quantity.CPU] + rng.normal(0, 0.2, len(device))
    different, same = learn(devices), learn(alike)
    spreads = [known.prior.covariance[COOLING, 0, 0] * known.spread[COOLING] ** 2 for known in (different, same)]
    assert spreads[0] > 1.5 * spreads[1]


def test_learning_again_gives_the_same() -> None:
    one, other = (learn([a_device(np.random.default_rng(seed)) for seed in range(6)]) for _ in range(2))
    assert np.array_equal(one.prior.covariance, other.prior.covariance)
    assert one.variance == pytest.approx(other.variance, rel=0)
