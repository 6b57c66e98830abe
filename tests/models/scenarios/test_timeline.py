"""Timelines: when a scenario is sampled, and what the clocks read."""

import numpy as np
import pytest

from models.scenarios.timeline import DAY_S, HOUR_S, Reboot, Sampling, Span, sampled


def test_dense_spans_are_sampled_more_often() -> None:
    timeline = sampled(Sampling(duration_s=HOUR_S, dense=[Span(begin_s=600, end_s=900)], dense_period_s=10), "test")
    steps = np.diff(timeline.t_s)
    inside = (timeline.t_s[:-1] >= 600) & (timeline.t_s[:-1] < 890)
    assert set(steps[inside]) == {10.0}
    assert set(steps[~inside]) <= {60.0, 10.0}
    assert timeline.period_s == 10


def test_a_reboot_changes_the_boot_and_restarts_the_uptime() -> None:
    timeline = sampled(Sampling(duration_s=HOUR_S, reboots=[Reboot(begin_s=1200, end_s=1490)], uptime_s=500.0), "test")
    before, after = timeline.instant(19), timeline.instant(20)
    assert before.boot_id != after.boot_id
    assert before.uptime_s == pytest.approx(500 + 19 * 60)
    assert after.uptime_s == 10
    assert not after.synced
    assert (after.wall - before.wall).total_seconds() == pytest.approx(timeline.t_s[20] - timeline.t_s[19])
    assert timeline.elapsed_s()[20] == timeline.uptime_s[20]


def test_hours_count_from_midnight_of_the_first_day() -> None:
    timeline = sampled(Sampling(duration_s=2 * DAY_S, midnight_s=9 * HOUR_S), "test")
    assert timeline.at(1, 2.0) == 17 * HOUR_S
    assert timeline.of_day_s()[0] == 9 * HOUR_S
