"""Service rules: a unit of systemd has failed, or systemd restarts it repeatedly."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import series, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Finding
from edge_agent.protocol.wording import duration

FAILED_UNITS = (
    "forewarn.systemd.failed_units"  # present whenever systemd answers, so a unit without a series is healthy
)
FAILED_FOR_S = 90.0  # two readings: a package update may fail a unit for a moment
REPAIRED_FOR_S = 300.0  # a unit that a timer starts and that fails each time is not healthy in between

LOOP_TIMES = 3
LOOP_WITHIN_S = 3600.0
LOOP_FOR_S = 180.0  # from the first restart to the last: after a boot, services restart until their dependencies are up
LOOP_OVER_S = 1800.0  # without another restart


@dataclass(slots=True)
class _Restarts:
    """When a service was restarted (seconds of monitoring) and how often, and whether that is a loop."""

    rises: deque[tuple[float, int]] = field(default_factory=deque)
    looping: bool = False


class ServiceRules:
    """Stores the restarts of the last hour."""

    def __init__(self) -> None:
        self._restarts: dict[str, _Restarts] = {}
        self._last_s = 0.0

    def step(self, values: Mapping[str, float], at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
        """Yield a verdict for each service that has failed or is in a loop. The input has restarts as a rate."""
        passed_s, self._last_s = at_s - self._last_s, at_s
        for key, value in values.items():
            name = series_name(key)
            if name == "systemd.unit.state" and series_attributes(key).get("systemd.unit.active_state") == "failed":
                now_s = timer.lasted_s(("failed now", key), value > 0, at_s)
                seen = now_s is not None and now_s >= FAILED_FOR_S
                if timer.lasted_s(("failed", key), seen, at_s, linger_s=REPAIRED_FOR_S) is not None:
                    yield _failed(key, value, values)
            elif name == "systemd.service.restarts":
                restarts = self._restarts.get(key) or _Restarts()
                if _loops(restarts, round(value * passed_s), at_s):
                    yield _loop(key, value, restarts, values)
                if restarts.rises:
                    self._restarts[key] = restarts
                else:
                    self._restarts.pop(key, None)

    def resume(self, finding: Finding) -> None:
        """Resume a loop that was open when the agent stopped. It clears after LOOP_OVER_S without a restart."""
        if finding.fault == "process.crash_loop":
            for carrier in finding.carriers[:1]:
                self._restarts[carrier.metric] = _Restarts(deque([(0.0, LOOP_TIMES)]), looping=True)


def _loops(restarts: _Restarts, times: int, at_s: float) -> bool:
    """Add the restarts of this sample; return whether the service is in a loop."""
    rises = restarts.rises
    if times > 0:
        rises.append((at_s, times))
    while rises and at_s - rises[0][0] > LOOP_WITHIN_S:
        rises.popleft()
    if not rises or at_s - rises[-1][0] >= LOOP_OVER_S:
        restarts.looping = False
    elif sum(count for _, count in rises) >= LOOP_TIMES and rises[-1][0] - rises[0][0] >= LOOP_FOR_S:
        restarts.looping = True
    return restarts.looping


def _failed(key: str, value: float, values: Mapping[str, float]) -> Verdict:
    return Verdict(
        fault="service.failed",
        component=series_attributes(key)["systemd.unit.name"],
        confidence=1.0,
        reason="systemd reports the unit as failed",
        carriers=(Carrier(metric=key, value=value, unit="1", expected_high=0.0, share=1.0), *_failed_count(values)),
        basis=Basis(evaluated=(key, FAILED_UNITS)),
    )


def _loop(key: str, value: float, restarts: _Restarts, values: Mapping[str, float]) -> Verdict:
    """Return the verdict; severity info if all exits may have been normal (systemd restarts after those, too)."""
    unit = series_attributes(key)["systemd.unit.name"]
    crashed = series("forewarn.systemd.crashed", systemd__unit__name=unit)
    crashes = values.get(crashed, 0.0) > 0
    times, span_s = sum(count for _, count in restarts.rises), restarts.rises[-1][0] - restarts.rises[0][0]
    why = "after failures" if crashes else "possibly after normal exits"
    return Verdict(
        fault="process.crash_loop",
        component=unit,
        confidence=1.0,
        reason=f"systemd restarted the unit {times} times within {duration(span_s)}, {why}",
        severity=None if crashes else Severity.INFO,
        carriers=(
            Carrier(metric=key, value=value, unit="{restart}/s", expected_high=0.0, share=1.0),
            *_failed_count(values),
        ),
        basis=Basis(evaluated=(key, FAILED_UNITS), explained=(crashed,)),
    )


def _failed_count(values: Mapping[str, float]) -> tuple[Carrier, ...]:
    """Return the count of failed units: after a restart of the agent it shows that systemd still answers."""
    count = values.get(FAILED_UNITS)
    return () if count is None else (Carrier(metric=FAILED_UNITS, value=count, unit="{unit}", share=0.0),)
