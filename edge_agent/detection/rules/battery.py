"""Batteries: one that holds little of what it was made for, or says itself that it has failed.

An empty battery is no fault of the device, and its owner sees it.
"""

from collections.abc import Iterator, Mapping

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import series_attributes, series_name
from edge_agent.protocol.records import Carrier, Finding, Threshold

HOLDS = "forewarn.battery.capacity.utilization"
WORN_BELOW = 0.5  # makers call 0.8 worn; half the running time is what an owner can't overlook
BETTER_BY = 0.05  # gauges learn: the full charge they state moves with each cycle
WORN_FOR_S = 3600.0  # and may be nonsense for a while after the start


def worn(values: Mapping[str, float], at_s: float, lasting: HoldTimer) -> Iterator[Verdict]:
    """Yield a verdict for each battery that has been so for an hour."""
    for key, value in values.items():
        if series_name(key) == HOLDS:
            limit = WORN_BELOW + (BETTER_BY if lasting.holds(("worn", key)) else 0.0)
            bad, reason = 0 < value <= limit, f"it holds {value:.0%} of what it was made for"
        elif _says_failed(key):
            bad, reason = value > 0, "it says itself that it has failed"
        else:
            continue
        worn_s = lasting.lasted_s(("worn", key), bad, at_s)
        if worn_s is not None and worn_s >= WORN_FOR_S:
            yield _worn(key, value, reason)


def resume(finding: Finding, lasting: HoldTimer) -> None:
    """Resume a finding that was open when the agent stopped."""
    if finding.fault == "battery.worn":
        for carrier in finding.carriers:
            lasting.resume(("worn", carrier.metric), WORN_FOR_S)


def _says_failed(key: str) -> bool:
    if series_name(key) != "hw.status":
        return False
    attributes = series_attributes(key)
    return attributes.get("hw.type") == "battery" and attributes.get("hw.state") == "failed"


def _worn(key: str, value: float, reason: str) -> Verdict:
    holds = series_name(key) == HOLDS
    return Verdict(
        fault="battery.worn",
        component=series_attributes(key)["hw.name"],
        confidence=1.0,
        reason=reason,
        carriers=(Carrier(metric=key, value=value, unit="1", share=1.0),),
        basis=Basis(
            evaluated=(key,), threshold=Threshold(metric=key, value=WORN_BELOW, meaning="worn out") if holds else None
        ),
    )
