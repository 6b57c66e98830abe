"""When a score becomes a decision."""

import pytest

from edge_agent.detection.alarms import UNUSUAL, Alarms
from edge_agent.detection.scoring import Score


@pytest.mark.parametrize(
    ("value", "ready", "speaks"),
    [(UNUSUAL, True, True), (UNUSUAL - 1e-9, True, False), (0.99, False, False)],
)
def test_the_model_speaks_from_its_threshold_on_once_the_device_is_known(
    value: float, ready: bool, speaks: bool
) -> None:
    score = Score(value=value, ready=ready, shares={}, expected={}, values={})
    assert Alarms(60.0).step(score) is speaks
