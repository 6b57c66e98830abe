"""Power rule: the supply voltage drops."""

from collections.abc import Iterator, Mapping

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import series, series_attributes, series_name
from edge_agent.protocol.records import Carrier
from edge_agent.protocol.wording import duration

_SLOWED = series("forewarn.cpu.throttled", forewarn__cause="voltage")
STEADY_FOR_S = 600.0  # drops follow the load; ten minutes without one clear the finding


def undervoltage(values: Mapping[str, float], at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
    """Yield a verdict for each supply whose voltage dropped within the last ten minutes."""
    for key, alarm in values.items():
        if series_name(key) != "hw.status":
            continue
        attributes = series_attributes(key)
        if attributes.get("hw.type") != "voltage" or attributes.get("hw.state") != "degraded":
            continue
        since_s = timer.lasted_s(("undervoltage", key), alarm > 0, at_s, linger_s=STEADY_FOR_S)
        if since_s is not None:
            yield Verdict(
                fault="power.undervoltage",
                component=attributes["hw.name"],
                confidence=1.0,
                reason="the supply voltage fell below the minimum of the board"
                + (f", repeatedly for {duration(since_s)}" if since_s >= STEADY_FOR_S else ""),
                carriers=(Carrier(metric=key, value=alarm, unit="1", expected_high=0.0, share=1.0),),
                basis=Basis(evaluated=(key,), explained=(_SLOWED,)),
            )
