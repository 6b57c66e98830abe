"""Trends: correct for quantities that approach their limit, and no verdict for similar curves."""

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.trends.theil_sen import theil_sen
from edge_agent.detection.trends.trends import MOST_LIMITS, Trends
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.metrics import series
from tests.builders import an_instant

MIB = 2.0**20
FREE = series("system.filesystem.usage", system__filesystem__mountpoint="/data", system__filesystem__state="free")
MEMORY = "system.linux.memory.available"


def first_verdict(
    curve: Callable[[float], float], until_s: int, metric: str = FREE, period_s: float = 1.0
) -> tuple[float, Verdict] | None:
    """Feed a curve of headroom over time; return when the first verdict came, and it."""
    trends = Trends(period_s=period_s, horizon_s=72 * 3600)
    for step in range(int(until_s / period_s)):
        t = step * period_s
        if verdicts := trends.step({metric: max(0.0, curve(t))}, an_instant(t)):
            return t, verdicts[0]
    return None


def test_a_disk_that_fills_in_a_minute_is_detected_in_the_first_half() -> None:
    found = first_verdict(lambda t: 64 * MIB - t * MIB, 64)
    assert found is not None
    at, verdict = found
    assert at < 32
    assert (verdict.fault, verdict.component) == ("disk.filling", "/data")
    assert verdict.impact is not None
    assert verdict.impact.low_s <= 64 - at <= verdict.impact.high_s + 1


@given(
    lasts_s=st.floats(300, 20_000),
    room=st.floats(1e6, 1e12),
    noise=st.floats(0, 0.002),
    seed=st.integers(0, 2**16),
)
def test_time_to_impact_is_near_the_truth_whatever_the_size_speed_and_noise(
    lasts_s: float, room: float, noise: float, seed: int
) -> None:
    rng = random.Random(seed)
    period_s = max(1.0, lasts_s / 1000)
    found = first_verdict(
        lambda t: room * (1 - t / lasts_s + rng.uniform(-noise, noise)), int(lasts_s), period_s=period_s
    )
    assert found is not None, "it was never reported"
    at, verdict = found
    assert verdict.impact is not None
    assert verdict.impact.likely_s == pytest.approx(lasts_s - at, rel=0.3, abs=30)


@pytest.mark.parametrize(
    ("behaviour", "metric", "curve"),
    [
        ("a log that is rotated", FREE, lambda t: 1000 * MIB - 300 * MIB * (t % 1800) / 1800),
        ("a garbage collector", MEMORY, lambda t: 300 * MIB - 150 * MIB * (t % 100) / 100),
        ("one big file", FREE, lambda t: 1000 * MIB - (600 * MIB if t > 500 else 0)),
        (
            "a download of a quarter of the room",
            FREE,
            lambda t: 4000 * MIB - min(1000 * MIB, max(0, t - 300) * 5 * MIB),
        ),
        ("a program that starts", MEMORY, lambda t: 800 * MIB - min(500 * MIB, max(0, t - 300) * 20 * MIB)),
        ("nothing at all", FREE, lambda _: 1000 * MIB),
        ("noise", FREE, lambda t: 1000 * MIB + 100 * MIB * math.sin(t * 1.7) * math.cos(t * 0.3)),
        ("a disk that is emptied", FREE, lambda t: 100 * MIB + t * MIB),
    ],
)
def test_normal_behaviour_of_healthy_devices_is_not_a_trend(
    behaviour: str, metric: str, curve: Callable[[float], float]
) -> None:
    assert first_verdict(curve, 7200, metric) is None, behaviour


def test_it_is_not_extrapolated_from_one_minute_after_boot() -> None:
    """netdata #6114: a disk was predicted to be full in an hour, from the writes of the first minute."""
    assert first_verdict(lambda t: 3600 * MIB - t * MIB, 300) is None


def test_a_memory_trend_needs_minutes_of_readings() -> None:
    found = first_verdict(lambda t: 640 * MIB - t * 2 * MIB, 320, MEMORY)
    assert found is not None
    assert found[0] > 150


def test_recovery_ends_a_trend_at_once() -> None:
    trends = Trends(period_s=1.0, horizon_s=3600)
    lasted = [trends.step({FREE: 64 * MIB - t * MIB}, an_instant(t)) for t in range(40)]
    assert lasted[-1]
    assert not trends.step({FREE: 64 * MIB}, an_instant(40))


def test_between_two_evaluations_the_time_to_impact_counts_down() -> None:
    trends = Trends(period_s=1.0, horizon_s=3600)
    left = []
    for t in range(639):
        for verdict in trends.step({MEMORY: 640 * MIB - t * MIB}, an_instant(t)):
            assert verdict.impact is not None
            left.append(verdict.impact.likely_s + t)
    assert left
    assert max(left) - min(left) < 10, "the expected instant stays where it is"


def test_open_files_that_rise_to_their_limit_are_a_leak() -> None:
    trends = Trends(period_s=1.0, horizon_s=3600)
    verdicts: list[Verdict] = []
    for t in range(200):
        values = {"forewarn.file_descriptor.usage": 200.0 + 3 * t, "forewarn.file_descriptor.limit": 1024.0}
        verdicts = trends.step(values, an_instant(t)) or verdicts
    assert verdicts[0].fault == "fd.leak"
    assert verdicts[0].basis.threshold is not None
    assert verdicts[0].basis.threshold.value == 1024
    assert verdicts[0].carriers[0].value > 200


def test_the_robust_slope_ignores_a_quarter_of_wild_points() -> None:
    t = np.arange(40.0)
    v = 5 - 2 * t
    v[::4] += 1000
    slope = theil_sen(t, v)
    assert slope.per_s == pytest.approx(-2, rel=0.2)
    assert slope.low_per_s <= slope.per_s <= slope.high_per_s


def test_a_full_disk_is_a_fault_until_it_has_free_space() -> None:
    trends, used = Trends(period_s=1.0, horizon_s=3600), FREE.replace("state=free", "state=used")
    lasted = []
    for t in range(400):
        free = max(0.0, 64 * MIB - t * MIB) if t < 300 else 32 * MIB
        lasted.append(trends.step({FREE: free, used: 64 * MIB - free}, an_instant(t)))
    assert all(lasted[30:300])
    assert lasted[200][0].impact is not None
    assert lasted[200][0].impact.likely_s == 0
    assert not any(lasted[300:])


def test_a_disk_that_was_always_full_is_no_fault() -> None:
    trends, used = Trends(period_s=1.0, horizon_s=3600), FREE.replace("state=free", "state=used")
    assert not any(trends.step({FREE: 0.0, used: 64 * MIB}, an_instant(t)) for t in range(100))
    trends.resume("disk.filling", "/data")
    assert trends.step({FREE: 0.0, used: 64 * MIB}, an_instant(100)), "but not one that filled up before a restart"


def test_removed_file_systems_are_evicted_when_there_are_too_many() -> None:
    trends = Trends(period_s=60.0, horizon_s=3600)
    for minute in range(300):
        trends.step({FREE.replace("/data", f"/run/{minute}"): MIB, FREE: MIB}, an_instant(minute * 60.0))
    assert len(trends._extrapolations) == MOST_LIMITS
    assert ("disk.filling", "/data") in trends._extrapolations
