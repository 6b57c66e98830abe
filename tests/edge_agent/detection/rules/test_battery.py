"""A battery with half its design capacity is reported; an empty or a recalibrating one is not."""

import pytest

from edge_agent.protocol.metrics import series
from tests.edge_agent.detection.test_rules import Row, held, seconds

HOLDS = series("forewarn.battery.capacity.utilization", hw__name="BAT0")
FAILED = series("hw.status", hw__name="BAT0", hw__state="failed", hw__type="battery")
DISCHARGING = series("hw.status", hw__name="BAT0", hw__state="discharging", hw__type="battery")
CHARGE = series("hw.battery.charge", hw__name="BAT0")


@pytest.mark.parametrize("row", [{HOLDS: 0.48}, {FAILED: 1.0}])
def test_a_worn_battery_is_reported_after_an_hour(row: Row) -> None:
    published = held([row] * 400, every_s=10.0)
    assert seconds(published, "battery.worn")[0] == 3600
    assert published[0][1].component == "BAT0"


@pytest.mark.parametrize("row", [{HOLDS: 0.81}, {FAILED: 0.0}, {HOLDS: 0.0}, {DISCHARGING: 1.0, CHARGE: 0.02}])
def test_a_healthy_or_empty_battery_is_not_reported(row: Row) -> None:
    assert not held([row] * 1000, every_s=10.0)


def test_a_gauge_that_fluctuates_at_the_limit_is_one_state() -> None:
    published = held(({HOLDS: 0.49 if t % 2 else 0.53} for t in range(1000)), every_s=10.0)
    assert len(published) == len(range(3610, 10_000, 10))
    assert not held(({HOLDS: 0.51 if t % 2 else 0.53} for t in range(1000)), every_s=10.0)
