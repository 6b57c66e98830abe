"""Common movements of channels, and the residual of each."""

import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.anomaly.principal_components import MOST, Components

Rows = npt.NDArray[np.float64]


def rows_of(count: int, channels: int = 8, together: int = 2, seed: int = 1) -> Rows:
    """Channels that follow some patterns of unit deviation, with a little noise of their own."""
    rng = np.random.default_rng(seed)
    patterns = np.linalg.qr(np.random.default_rng(7).normal(size=(channels, together)))[0].T * channels**0.5
    strength = np.array([1.0, 0.6, 0.4, 0.3])[:together]
    rows: Rows = (rng.normal(size=(count, together)) * strength) @ patterns + 0.05 * rng.normal(size=(count, channels))
    return rows


def learned(rows: Rows, half_life_rows: float = 2000.0) -> Components:
    components = Components(half_life_rows)
    components.allocate(rows.shape[1])
    for row in rows:
        components.learn(row)
    return components


def test_common_movements_of_channels_are_subtracted() -> None:
    components = learned(rows_of(3000))
    further = rows_of(200, seed=2)
    rest = np.array([components.learn(row) for row in further])
    assert (rest**2).mean() < 0.01 * (further**2).mean()


def test_the_movement_of_a_single_channel_remains() -> None:
    components = learned(rows_of(3000, channels=16))
    alone = np.zeros(16)
    alone[3] = 4.0
    rest = components.learn(alone)
    assert int(np.argmax(np.abs(rest))) == 3
    assert rest[3] > 1.5


def test_with_few_channels_a_residual_remains() -> None:
    components = learned(rows_of(1000, channels=3))
    assert components.learn(np.array([1.0, 2.0, 3.0])).tolist() == [1.0, 2.0, 3.0]


def test_the_patterns_are_the_principal_components() -> None:
    rows = rows_of(4000, together=2)
    principal = np.linalg.svd(np.clip(rows, -MOST, MOST), full_matrices=False)[2][:2]
    names = [str(channel) for channel in range(8)]
    channels = learned(rows).export_state(names)["channels"]
    assert isinstance(channels, dict)
    patterns = np.array([channels[name] for name in names]).T[:2]
    found = patterns / np.linalg.norm(patterns, axis=1, keepdims=True)
    assert np.abs((found * principal).sum(axis=1)) == pytest.approx([1.0, 1.0], abs=0.02)


def test_a_single_incident_is_not_a_pattern() -> None:
    components = learned(rows_of(3000))
    huge = np.zeros(8)
    huge[0] = 1e6
    components.learn(huge)
    further = rows_of(200, seed=2)
    assert (np.array([components.learn(row) for row in further]) ** 2).mean() < 0.01 * (further**2).mean()


def test_the_residual_of_zeros_is_zero() -> None:
    components = Components(100.0)
    components.allocate(3)
    assert components.learn(np.zeros(3)).tolist() == [0.0] * 3
    assert components.learn(np.array([1.0, 0.0, 0.0])).tolist() == [1.0, 0.0, 0.0]


def test_a_new_channel_follows_no_pattern_yet() -> None:
    components = learned(rows_of(1000))
    components.allocate(9)
    rest = components.learn(np.array([0.0] * 8 + [3.0]))
    assert rest[8] == pytest.approx(3.0, abs=0.2)


def test_the_learned_state_survives_a_reboot_except_its_last_digits() -> None:
    names = [str(channel) for channel in range(8)]
    one, other = learned(rows_of(500)), Components(2000.0)
    state = json.loads(json.dumps(one.export_state(names)))
    other.restore_state(state, names)
    assert other.export_state(names) == state
    for row in rows_of(50, seed=2):
        assert other.learn(row) == pytest.approx(one.learn(row), abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [{"rows": -1}, {"channels": 1}, {"channels": {}}, {"channels": {"a": [1.0]}}, {"channels": {"a": [math.nan] * 4}}],
)
def test_a_broken_state_is_refused_and_changes_nothing(change: dict[str, object]) -> None:
    components = Components(100.0)
    components.allocate(1)
    components.learn(np.ones(1))
    before = components.export_state(["a"])
    with pytest.raises(ValueError, match="components: "):
        components.restore_state(before | change, ["a"])
    assert components.export_state(["a"]) == before


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=5), max_size=60))
def test_the_rest_is_finite_and_never_longer_than_the_row(rows: list[list[float]]) -> None:
    components = Components(10.0)
    components.allocate(5)
    for row in rows:
        clipped = np.clip(row, -MOST, MOST)
        rest = components.learn(np.array(row))
        assert np.isfinite(rest).all()
        assert np.linalg.norm(rest) <= np.linalg.norm(clipped) * (1 + 1e-6) + 1e-9
