"""Wi-Fi rule: the signal is too weak to rely on."""

from collections.abc import Iterator, Mapping

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import metric_of, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Finding, Threshold
from edge_agent.protocol.wording import duration

WEAK_DBM = -85.0  # IEEE 802.11 asks receivers of 20 MHz for -82 dBm at the lowest rate; good chips do a little better
STRONGER_BY_DB = 5.0
WEAK_FOR_S = 900.0  # people and objects in between block the signal for shorter


def weak(values: Mapping[str, float], at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
    """Yield a verdict for each adapter whose signal has been weak for 15 minutes."""
    for key, dbm in values.items():
        if series_name(key) != "forewarn.wifi.signal":
            continue
        limit = WEAK_DBM + (STRONGER_BY_DB if timer.holds(("weak", key)) else 0.0)
        weak_s = timer.lasted_s(("weak", key), dbm <= limit, at_s)
        if weak_s is not None and weak_s >= WEAK_FOR_S:
            yield Verdict(
                fault="wifi.weak",
                component=series_attributes(key)["network.interface.name"],
                confidence=1.0,
                reason=f"the signal is {dbm:.0f} dBm, and has been weak for {duration(weak_s)}",
                carriers=(Carrier(metric=key, value=dbm, unit=metric_of(key).unit, expected_low=WEAK_DBM, share=1.0),),
                basis=Basis(
                    evaluated=(key,), threshold=Threshold(metric=key, value=WEAK_DBM, meaning="too weak to rely on")
                ),
            )


def resume(finding: Finding, timer: HoldTimer) -> None:
    """Resume a finding that was open when the agent stopped."""
    if finding.fault == "wifi.weak":
        for carrier in finding.carriers:
            timer.resume(("weak", carrier.metric), WEAK_FOR_S)
