"""Thermal rules: a sensor is at or near the throttling limit, or firmware reports that it throttles."""

from collections.abc import Iterator, Mapping

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import metric_of, series, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Threshold
from edge_agent.protocol.wording import duration

HOT_CEL = 80.0  # Raspberry Pi firmware begins to slow the ARM cores (documentation, frequency-management)
COOLED_BY_CEL = 5.0  # how far below the limit a sensor must fall to count as cool again
HOT_FOR_S = 60.0  # shorter peaks are normal under load
BELIEVABLE_LIMIT_CEL = (50.0, 110.0)  # drivers report 0, 65261.8 and the like where a chip has no limit
BELIEVABLE_CEL = (-45.0, 150.0)  # outside this range the sensor is broken

FLICKER_S = 30.0  # firmware switches quickly near its limit, and is read only every ten seconds
COOL_FOR_S = 600.0  # throttling follows the load; ten minutes at full speed clear the finding


def throttling(values: Mapping[str, float], at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
    """Yield a verdict for each sensor that has been hot for a minute."""
    for key, celsius in values.items():
        if series_name(key) != "hw.temperature":
            continue
        limit = _limit_cel(values, series_attributes(key)["hw.name"])
        until = limit - (COOLED_BY_CEL if timer.holds(("hot", key)) else 0.0)
        hot_s = timer.lasted_s(("hot", key), until <= celsius <= BELIEVABLE_CEL[1], at_s)
        if hot_s is not None and hot_s >= HOT_FOR_S:
            yield _too_hot(key, celsius, limit, hot_s)


def _limit_cel(values: Mapping[str, float], sensor: str) -> float:
    """Return the sensor's own limit if its driver states a believable one, else that of the Raspberry Pi."""
    low, high = BELIEVABLE_LIMIT_CEL
    stated = values.get(series("hw.temperature.limit", hw__limit_type="high", hw__name=sensor), 0.0)
    return stated if low <= stated <= high else HOT_CEL


def _too_hot(key: str, celsius: float, limit: float, hot_s: float) -> Verdict:
    return Verdict(
        fault="thermal.throttling",
        component=series_attributes(key)["hw.name"],
        confidence=1.0,
        reason=f"the temperature is {celsius:.0f} °C, at or near the limit of {limit:.0f} °C for {hot_s / 60:.0f} min",
        carriers=(Carrier(metric=key, value=celsius, unit=metric_of(key).unit, expected_high=limit, share=1.0),),
        basis=Basis(
            evaluated=(key,),
            threshold=Threshold(metric=key, value=limit, meaning="the device throttles itself"),
        ),
    )


def throttled(values: Mapping[str, float], at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
    """Yield a verdict once firmware has throttled the processor for a minute, until it has not for ten minutes.

    The soft limit of the 3B+ (60 °C) costs a seventh of the speed by design: severity info.
    """
    hot_s, soft_s = (_slowed_s(values, at_s, timer, cause) for cause in ("heat", "soft_limit"))
    if hot_s is not None:
        yield _throttled(values, "heat", "firmware throttles the processor because it is too hot", hot_s, None)
    elif soft_s is not None:
        reason = "firmware throttles the processor at its soft temperature limit"
        yield _throttled(values, "soft_limit", reason, soft_s, Severity.INFO)


def _slowed_s(values: Mapping[str, float], at_s: float, timer: HoldTimer, cause: str) -> float | None:
    """Return for how many seconds firmware has throttled; None if it does not, or for too short a time."""
    now_s = timer.lasted_s((f"slowed by {cause}", ""), values.get(_slowed_by(cause), 0.0) > 0, at_s, FLICKER_S)
    slow = now_s is not None and now_s >= HOT_FOR_S
    return timer.lasted_s((f"throttled by {cause}", ""), slow, at_s, COOL_FOR_S)


def _slowed_by(cause: str) -> str:
    return series("forewarn.cpu.throttled", forewarn__cause=cause)


def _throttled(
    values: Mapping[str, float], cause: str, reason: str, since_s: float, severity: Severity | None
) -> Verdict:
    key = _slowed_by(cause)
    return Verdict(
        fault="thermal.throttled",
        component="cpu",
        confidence=1.0,
        reason=reason + (f", repeatedly for {duration(since_s)}" if since_s >= COOL_FOR_S else ""),
        severity=severity,
        carriers=(Carrier(metric=key, value=values.get(key, 0.0), unit="1", expected_high=0.0, share=1.0),),
        basis=Basis(evaluated=(_slowed_by("heat"), _slowed_by("soft_limit"))),
    )
