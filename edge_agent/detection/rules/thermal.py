"""Heat: a sensor at or near the limit where the device slows itself down."""

from collections.abc import Iterator, Mapping

from edge_agent.detection.rules.lasting import Lasting
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import metric_of, series, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Threshold

HOT_CEL = 80.0  # Raspberry Pi firmware begins to slow the ARM cores (documentation, frequency-management)
COOLED_BY_CEL = 5.0  # how far below the limit a sensor must fall to count as cool again
HOT_FOR_S = 60.0  # shorter peaks are what a busy processor does
BELIEVABLE_LIMIT_CEL = (50.0, 110.0)  # drivers report 0, 65261.8 and the like where a chip has no limit
BELIEVABLE_CEL = (-45.0, 150.0)  # beyond it is no heat, but a broken sensor


def throttling(values: Mapping[str, float], at_s: float, lasting: Lasting) -> Iterator[Verdict]:
    """Yield a verdict for each sensor that has been hot for a minute."""
    for key, celsius in values.items():
        if series_name(key) != "hw.temperature":
            continue
        limit = _limit_cel(values, series_attributes(key)["hw.name"])
        until = limit - (COOLED_BY_CEL if lasting.holds(("hot", key)) else 0.0)
        hot_s = lasting.held_s(("hot", key), until <= celsius <= BELIEVABLE_CEL[1], at_s)
        if hot_s is not None and hot_s >= HOT_FOR_S:
            yield _too_hot(key, celsius, limit, hot_s)


def _limit_cel(values: Mapping[str, float], sensor: str) -> float:
    """The sensor's own limit where its driver states a believable one, else the Pi's."""
    low, high = BELIEVABLE_LIMIT_CEL
    stated = values.get(series("hw.temperature.limit", hw__limit_type="high", hw__name=sensor), 0.0)
    return stated if low <= stated <= high else HOT_CEL


def _too_hot(key: str, celsius: float, limit: float, hot_s: float) -> Verdict:
    return Verdict(
        fault="thermal.throttling",
        component=series_attributes(key)["hw.name"],
        confidence=1.0,
        reason=f"{celsius:.0f} °C, at or near the limit of {limit:.0f} °C for {hot_s / 60:.0f} min",
        carriers=(Carrier(metric=key, value=celsius, unit=metric_of(key).unit, expected_high=limit, share=1.0),),
        basis=Basis(
            judged=(key,),
            threshold=Threshold(metric=key, value=limit, meaning="the device slows itself down"),
        ),
    )
