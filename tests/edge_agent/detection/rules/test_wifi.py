"""A signal that is weak for long is reported; a short obstruction is not."""

from collections.abc import Iterable

from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.metrics import series
from tests.edge_agent.detection.test_rules import held, seconds

SIGNAL = series("forewarn.wifi.signal", network__interface__name="wlan0")


def published(signals: Iterable[float]) -> list[tuple[float, Verdict]]:
    return held(({SIGNAL: dbm} for dbm in signals), every_s=10.0)


def test_a_weak_signal_is_reported_after_15_minutes() -> None:
    reported = published([-60.0] * 10 + [-86.0, -81.0] * 100 + [-79.0] * 10)
    assert seconds(reported, "wifi.weak") == [float(t) for t in range(1000, 2100, 10)]
    assert reported[0][1].component == "wlan0"


def test_a_signal_that_is_weak_for_a_short_time_or_just_poor_is_not_reported() -> None:
    assert not published(([-90.0] * 80 + [-70.0]) * 10)
    assert not published([-84.0] * 1000)


def test_a_disconnected_adapter_is_not_reported_missing() -> None:
    connected, base = {SIGNAL: -60.0, "system.cpu.load_average.1m": 1.0}, {"system.cpu.load_average.1m": 1.0}
    assert not held([connected] * 1000 + [base] * 1000, every_s=10.0)
