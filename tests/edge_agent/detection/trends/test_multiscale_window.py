"""Windows: means of slots, and coarse resolutions that survive a reboot in a few hundred bytes."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.trends.multiscale_window import MultiScaleWindow, Resolution


@given(st.lists(st.integers(1, 300), max_size=80), st.floats(1e-6, 1e12), st.integers(0, 2**16))
def test_a_resolution_is_restored_as_exported(steps: list[int], scale: float, seed: int) -> None:
    rng, resolution, t = random.Random(seed), Resolution(3600.0), 1800.0
    for step in steps:
        resolution.add(t, scale * rng.random())
        t += 3600.0 * step
    other = Resolution(3600.0)
    other.restore_state(json.loads(json.dumps(resolution.export_state())))
    kept = len(other)
    assert kept == len(resolution) or max(steps) > 255, "only what lies beyond a gap of ten days may be left out"
    if kept:
        (t_then, v_then), (t_now, v_now) = resolution.last(kept), other.last(kept)
        assert t_now.tolist() == t_then.tolist()
        assert v_now == pytest.approx(v_then, rel=1e-4, abs=scale * 2e-5)
    for one in (resolution, other):
        one.add(t, scale)
    assert len(other) == min(kept + bool(steps), 64), "the open slot continues"


def test_a_point_is_the_mean_of_its_slot() -> None:
    resolution = Resolution(10.0)
    completed = [resolution.add(float(t), float(t)) for t in range(21)]
    assert [t for t, done in enumerate(completed) if done] == [10, 20]
    assert resolution.last(2)[1].tolist() == [4.5, 14.5]


def test_the_coarse_resolutions_are_exported_in_some_hundred_bytes() -> None:
    windows, rng = MultiScaleWindow(1.0), random.Random(1)
    for minute in range(40 * 1440):
        list(windows.add_coarse(minute * 60.0, 1e11 * rng.random()))
    assert len(json.dumps(windows.export_state())) < 700


@pytest.mark.parametrize(
    "change", [{"points": "?"}, {"points": "AAA="}, {"points": "AAAA"}, {"last": "x"}, {"open": [1]}, {"low": None}]
)
def test_a_broken_resolution_is_refused(change: dict[str, object]) -> None:
    resolution = Resolution(3600.0)
    with pytest.raises((ValueError, TypeError)):
        resolution.restore_state(resolution.export_state() | change)
