"""Battery rule: the capacity is far below the design capacity, or the battery reports a failure.

An empty battery is not a fault.
"""

from collections.abc import Iterator, Mapping

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import series_attributes, series_name
from edge_agent.protocol.records import Carrier, Finding, Threshold

CAPACITY = "forewarn.battery.capacity.utilization"
WORN_BELOW = 0.5  # manufacturers call 0.8 worn; users notice half the running time
BETTER_BY = 0.05  # hysteresis: fuel gauges adjust the reported full charge with each cycle
WORN_FOR_S = 3600.0  # gauges may report wrong values for a while after the start


def worn(values: Mapping[str, float], at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
    """Yield a verdict for each battery that has been worn for an hour."""
    for key, value in values.items():
        if series_name(key) == CAPACITY:
            limit = WORN_BELOW + (BETTER_BY if timer.holds(("worn", key)) else 0.0)
            bad, reason = 0 < value <= limit, f"the battery holds {value:.0%} of its design capacity"
        elif _reports_failure(key):
            bad, reason = value > 0, "the battery reports that it has failed"
        else:
            continue
        worn_s = timer.lasted_s(("worn", key), bad, at_s)
        if worn_s is not None and worn_s >= WORN_FOR_S:
            yield _worn(key, value, reason)


def resume(finding: Finding, timer: HoldTimer) -> None:
    """Resume a finding that was open when the agent stopped."""
    if finding.fault == "battery.worn":
        for carrier in finding.carriers:
            timer.resume(("worn", carrier.metric), WORN_FOR_S)


def _reports_failure(key: str) -> bool:
    if series_name(key) != "hw.status":
        return False
    attributes = series_attributes(key)
    return attributes.get("hw.type") == "battery" and attributes.get("hw.state") == "failed"


def _worn(key: str, value: float, reason: str) -> Verdict:
    is_capacity = series_name(key) == CAPACITY
    return Verdict(
        fault="battery.worn",
        component=series_attributes(key)["hw.name"],
        confidence=1.0,
        reason=reason,
        carriers=(Carrier(metric=key, value=value, unit="1", share=1.0),),
        basis=Basis(
            evaluated=(key,),
            threshold=Threshold(metric=key, value=WORN_BELOW, meaning="worn out") if is_capacity else None,
        ),
    )
