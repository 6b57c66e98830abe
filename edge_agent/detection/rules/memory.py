"""Memory rule: the kernel killed a program because memory ran out."""

from collections.abc import Iterator, Mapping

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.records import Carrier

KILLS = "forewarn.memory.oom_kills"
OVER_AFTER_S = 600.0  # ten minutes without another kill
_MOVED = ("system.linux.memory.available", "system.process.count")


def killed(values: Mapping[str, float], at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
    """Yield a verdict if the kernel killed a program within the last ten minutes. The input is a rate of kills."""
    rate = values.get(KILLS, 0.0)
    since_s = timer.lasted_s(("killed", ""), rate > 0, at_s, linger_s=OVER_AFTER_S)
    if since_s is not None:
        yield Verdict(
            fault="oom.kill",
            component="memory",
            confidence=1.0,
            reason="the kernel killed a program because memory ran out",
            carriers=(Carrier(metric=KILLS, value=rate, unit="{process}/s", expected_high=0.0, share=1.0),),
            basis=Basis(evaluated=(KILLS, *(series for series in _MOVED if series in values)), explained=_MEMORY),
        )


_MEMORY = tuple(
    f"system.memory.usage{{system.memory.state={state}}}" for state in ("used", "free", "cached", "buffers")
)
