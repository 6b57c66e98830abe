"""Operating time: continues over reboots, and uses the wall clock only if a time server has set it."""

import json
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.trends.operating_time import LONGEST_OFF_S, OperatingTime
from edge_agent.protocol.instant import Instant
from tests.builders import NOON


def at(boot: str, uptime_s: float, wall_s: float, synced: bool = True) -> Instant:
    return Instant(boot_id=boot, uptime_s=uptime_s, wall=NOON + timedelta(seconds=wall_s), synced=synced)


def after_a_reboot(*, before: bool, after: bool, off_s: float = 1000.0) -> float:
    """Live for 100 s, be off, live for 50 s; the clock is set `before` and `after` or not."""
    operating_time = OperatingTime()
    operating_time.at(at("one", 0, 0, before))
    operating_time.at(at("one", 100, 100, before))
    operating_time = OperatingTime.restored(json.loads(json.dumps(operating_time.export_state())))
    operating_time.at(at("two", 10, 110 + off_s, False))  # no clock is synchronised right after a start
    return operating_time.at(at("two", 50, 150 + off_s, after))


def test_the_time_off_counts_only_if_both_clocks_were_set() -> None:
    assert after_a_reboot(before=True, after=True) == 1150
    assert after_a_reboot(before=True, after=False) == 150
    assert after_a_reboot(before=False, after=True) == 150


def test_a_wall_clock_that_cannot_be_right_counts_as_none() -> None:
    assert after_a_reboot(before=True, after=True, off_s=-5000) == 150
    assert after_a_reboot(before=True, after=True, off_s=2 * LONGEST_OFF_S) == 150


def test_a_restart_of_the_agent_adds_no_time() -> None:
    operating_time = OperatingTime()
    operating_time.at(at("one", 100, 0, False))
    operating_time = OperatingTime.restored(operating_time.export_state())
    assert operating_time.at(at("one", 130, 30, False)) == 130


@given(st.lists(st.tuples(st.floats(0.1, 1e5), st.floats(-1e8, 1e8), st.booleans()), max_size=30))
def test_within_a_boot_steps_of_the_wall_clock_have_no_effect(samples: list[tuple[float, float, bool]]) -> None:
    operating_time, uptime_s = OperatingTime(), 0.0
    for step_s, wall_s, synced in samples:
        uptime_s += step_s
        assert operating_time.at(at("one", uptime_s, wall_s, synced)) == uptime_s
