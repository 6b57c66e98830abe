"""Trends over days: detected despite reboots, gaps and noise; no verdict for recurring lows."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent.detection.trends import Trends
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.metrics import series
from tests.builders import NOON, an_instant

DAY_S = 86_400.0
HORIZON_S = 72 * 3600.0
FREE = series("system.filesystem.usage", system__filesystem__mountpoint="/data", system__filesystem__state="free")
USED = FREE.replace("state=free", "state=used")
Published = list[tuple[float, Verdict]]


@dataclass(frozen=True, kw_only=True)
class Days:
    """How a device lives: read every `period_s`, restarted every `boot_s`, and off for `off_s` each time."""

    until_s: float
    period_s: float = 600.0
    boot_s: float = float("inf")
    off_s: float = 60.0
    synced: bool = True

    def watch(self, room: Callable[[float], float]) -> Published:
        """Return the verdicts while the free share of a disk follows `room` over time, with their times."""
        trends, published, boot, booted_s, t = Trends(self.period_s, HORIZON_S), [], 0, -3600.0, 0.0
        while t < self.until_s:
            free = max(0.0, room(t))
            wall = NOON + timedelta(seconds=t)
            now = Instant(boot_id=str(boot), uptime_s=t - booted_s, wall=wall, synced=self.synced)
            published += [(t, one) for one in trends.step({FREE: 1e9 * free, USED: 1e9 * (1 - free)}, now)]
            t += self.period_s
            if t - booted_s >= self.boot_s:
                state = json.loads(json.dumps(trends.export_state()))
                trends = Trends(self.period_s, HORIZON_S)
                trends.restore_state(state)
                t += self.off_s
                boot, booted_s = boot + 1, t
        return published


@settings(max_examples=20, deadline=None)
@given(
    lasts_d=st.floats(6, 25),
    noise=st.floats(0, 0.005),
    boot_h=st.floats(3, 100),
    off_h=st.floats(0, 12),
    seed=st.integers(0, 2**16),
)
def test_a_disk_that_fills_over_days_is_detected_early_despite_reboots(
    lasts_d: float, noise: float, boot_h: float, off_h: float, seed: int
) -> None:
    rng, lasts_s = random.Random(seed), lasts_d * DAY_S
    days = Days(until_s=lasts_s, boot_s=boot_h * 3600, off_s=off_h * 3600)
    published = days.watch(lambda t: 1 - t / lasts_s + rng.uniform(-noise, noise))
    assert published, "it was never reported"
    at, first = published[0]
    assert first.impact is not None
    assert lasts_s - at > lasts_s / 3
    assert first.impact.likely_s == pytest.approx(lasts_s - at, rel=0.25)
    assert min(t for t, one in published if one.severity is None) < lasts_s - 2 * DAY_S, "a case opens two days before"


@settings(max_examples=20, deadline=None)
@given(
    period_d=st.floats(0.02, 8),
    amplitude=st.floats(0.05, 0.9),
    noise=st.floats(0, 0.005),
    boot_h=st.floats(20, 200),
    seed=st.integers(0, 2**16),
)
@example(period_d=4.96875, amplitude=0.5, noise=0.0, boot_h=20.0, seed=0)  # it is emptied during a restart
def test_a_sawtooth_is_reported_at_most_in_its_first_cycle_and_a_flat_one_never(
    period_d: float, amplitude: float, noise: float, boot_h: float, seed: int
) -> None:
    rng, period_s = random.Random(seed), period_d * DAY_S
    days = Days(until_s=4 * period_s, period_s=max(10.0, period_s / 1000), boot_s=boot_h * 3600)
    published = days.watch(lambda t: 1 - amplitude * (t % period_s) / period_s + rng.uniform(-noise, noise))
    assert not [t for t, _ in published if t > 1.01 * period_s]
    if amplitude < 0.3:
        assert not published


def test_a_leak_below_the_recurring_low_is_reported() -> None:
    """A log of half the disk is rotated daily; in the second week what it leaves behind fills the rest."""

    def room(t: float) -> float:
        return 1 - 0.4 * (t % DAY_S) / DAY_S - max(0.0, t - 7 * DAY_S) / (10 * DAY_S)

    published = [t for t, _ in Days(until_s=13 * DAY_S).watch(room) if t > DAY_S]
    assert 7 * DAY_S < published[0] < 12.5 * DAY_S


def test_a_disk_that_was_full_and_then_emptied_is_reported_again() -> None:
    published = [
        t for t, _ in Days(until_s=4 * DAY_S, period_s=60.0).watch(lambda t: 1 - (t % (2 * DAY_S)) / (2 * DAY_S))
    ]
    assert [t for t in published if t < 1.2 * DAY_S]
    assert [t for t in published if 2 * DAY_S < t < 3.2 * DAY_S], "a recovery from zero is no recurring low"


def test_a_leak_that_only_a_restart_ends_is_reported_each_time() -> None:
    trends, memory, self_verdicts = Trends(60.0, HORIZON_S), "system.linux.memory.available", set()
    for minute in range(3 * 300):
        boot, uptime = divmod(minute, 300)
        now = replace(an_instant(60.0 * minute), boot_id=str(boot), uptime_s=60.0 * uptime)
        if trends.step({memory: 1e9 - 2.4e6 * uptime, "system.memory.limit": 1e9}, now):
            self_verdicts.add(boot)
    assert self_verdicts == {0, 1, 2}


def test_an_impact_beyond_the_horizon_has_severity_info() -> None:
    published = Days(until_s=14 * DAY_S).watch(lambda t: 1 - t / (14 * DAY_S))
    info = [t for t, one in published if one.severity is Severity.INFO]
    warned = [t for t, one in published if one.severity is None]
    assert info[0] < 7 * DAY_S
    assert warned[0] == pytest.approx(11 * DAY_S, abs=DAY_S / 2)


def test_there_is_no_verdict_in_the_first_minutes_after_boot_or_resume() -> None:
    def falling(start_s: float, trends: Trends) -> list[int]:
        room = (640 - t for t in range(400))
        return [t for t, mib in enumerate(room) if trends.step({FREE: mib * 2.0**20}, an_instant(start_s + t))]

    booted = falling(-3600, Trends(1.0, HORIZON_S))  # the builders' noon is an hour after their boot
    running = falling(0, Trends(1.0, HORIZON_S))
    resumed = Trends(1.0, HORIZON_S)
    for t in range(100):
        resumed.step({FREE: 640 * 2.0**20}, an_instant(t))
    assert booted[0] > 300
    assert running[0] < 250
    assert falling(8 * 3600, resumed)[0] > 300


def test_a_suspend_keeps_verdicts_and_pauses_their_countdown() -> None:
    trends, mib = Trends(1.0, HORIZON_S), 2.0**20
    for t in range(400):
        before = trends.step({FREE: (640 - t) * mib}, an_instant(t))
    after = [trends.step({FREE: (640 - t) * mib}, an_instant(8 * 3600 + t)) for t in range(400, 600)]
    assert before[0].impact
    assert all(after)
    assert after[0][0].impact
    assert after[0][0].impact.likely_s == pytest.approx(before[0].impact.likely_s, abs=5)


def test_a_recovery_ends_a_slow_trend_at_once() -> None:
    published = Days(until_s=11 * DAY_S).watch(lambda t: 1 - t / (14 * DAY_S) if t < 10 * DAY_S else 0.9)
    assert max(t for t, _ in published) < 10 * DAY_S


def test_a_quantity_without_recent_readings_is_not_exported() -> None:
    trends = Trends(600.0, HORIZON_S)
    for day in range(50):
        trends.step({FREE: 1e9} if day < 2 else {}, an_instant(DAY_S * day))
        extrapolations = trends.export_state()["courses"]
        assert isinstance(extrapolations, list)
        assert len(extrapolations) == (day < 46)


def test_samples_out_of_order_are_ignored() -> None:
    trends = Trends(1.0, HORIZON_S)
    for t in (10, 10, 9, 11):
        trends.step({FREE: 1e9}, an_instant(t))
    assert trends.step({FREE: 1e9}, an_instant(5)) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["levels", "habit", "last"]), inner),
    max_leaves=8,
)


@given(key=st.sampled_from(["version", "life", "courses"]), value=json_values)
def test_a_broken_state_is_refused_with_a_reason_and_changes_nothing(key: str, value: object) -> None:
    trends = Trends(600.0, HORIZON_S)
    for hour in range(20):
        trends.step({FREE: 1e9}, an_instant(3600 * hour))
    before = trends.export_state()
    if value in ([], before[key]):
        return
    with pytest.raises(ValueError, match=r"trends: "):
        trends.restore_state(before | {key: value})
    assert trends.export_state() == before
