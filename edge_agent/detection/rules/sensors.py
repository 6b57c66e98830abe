"""Sensor rules: readings that stopped changing, or that are physically impossible. `missing` covers absent ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import metric_of, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Finding
from edge_agent.protocol.wording import duration, quantity

POSSIBLE = {"hw.temperature": (-45.0, 150.0), "hw.fan.speed": (0.0, 30_000.0)}
IMPOSSIBLE_FOR_S = 60.0  # a single bad reading comes from the bus, not the sensor
PLAUSIBLE_FOR = 60  # readings: drivers of chips without a sensor report impossible values from the start

# A fan may stop by design and a voltage may be constant; only temperatures must change.
MOVES = "hw.temperature"
MOVED_FOR = 100  # changes of value: fewer do not show how often the reading changes
STUCK_FOR_S = 4 * 3600.0  # a coarse sensor in a cool room can keep its value for an hour or two
STUCK_FACTOR = 100.0  # times the usual interval between two changes


@dataclass(slots=True)
class _Sensor:
    value: float
    changed_at_s: float
    usual_s: float = 0.0  # mean time between two changes
    changes: int = 0
    plausible: int = 0


class Sensors:
    """Stores for each sensor when its reading last changed, and how often it does."""

    def __init__(self) -> None:
        self._sensors: dict[str, _Sensor] = {}

    def step(self, values: Mapping[str, float], at_s: float, timer: HoldTimer) -> Iterator[Verdict]:
        """Yield a verdict for each sensor whose reading is stuck or impossible."""
        for key, value in values.items():
            name = series_name(key)
            if name not in POSSIBLE:
                continue
            sensor = self._sensors.setdefault(key, _Sensor(value, at_s))
            if name == MOVES and (stuck_s := _stuck_s(sensor, value, at_s)):
                reason = f"the reading has been exactly {quantity(value, metric_of(key).unit)} for {duration(stuck_s)}"
                usual = f"; it usually changes about every {duration(sensor.usual_s)}" if sensor.usual_s else ""
                yield _verdict("sensor.stuck", key, value, reason + usual)
            low, high = POSSIBLE[name]
            plausible = low <= value <= high
            sensor.plausible += plausible
            wrong = not plausible and sensor.plausible >= PLAUSIBLE_FOR
            impossible_s = timer.lasted_s(("impossible", key), wrong, at_s)
            if impossible_s is not None and impossible_s >= IMPOSSIBLE_FOR_S:
                what = quantity(value, metric_of(key).unit)
                yield _verdict(
                    "sensor.out_of_range", key, value, f"the reading of {what} is outside the possible range"
                )

    def resume(self, finding: Finding) -> None:
        """Resume a finding that was open when the agent stopped, with the history that it implies."""
        for carrier in finding.carriers:
            if finding.fault == "sensor.stuck":
                self._sensors[carrier.metric] = _Sensor(carrier.value, -STUCK_FOR_S, changes=MOVED_FOR)
            elif finding.fault == "sensor.out_of_range":
                self._sensors[carrier.metric] = _Sensor(carrier.value, 0.0, plausible=PLAUSIBLE_FOR)


def _stuck_s(sensor: _Sensor, value: float, at_s: float) -> float | None:
    """Add a reading; return for how many seconds the sensor has been stuck, None if it is not."""
    still_s = at_s - sensor.changed_at_s
    if value == sensor.value:
        stuck = sensor.changes >= MOVED_FOR and still_s >= max(STUCK_FOR_S, STUCK_FACTOR * sensor.usual_s)
        return still_s if stuck else None
    sensor.changes = sensor.changes + 1 if sensor.usual_s else 1  # a resumed sensor has no other history
    sensor.usual_s += (still_s - sensor.usual_s) / min(sensor.changes, MOVED_FOR)
    sensor.value, sensor.changed_at_s = value, at_s
    return None


def _verdict(fault: str, key: str, value: float, reason: str) -> Verdict:
    low, high = POSSIBLE[series_name(key)]
    return Verdict(
        fault=fault,
        component=series_attributes(key)["hw.name"],
        confidence=1.0,
        reason=reason,
        carriers=(
            Carrier(metric=key, value=value, unit=metric_of(key).unit, expected_low=low, expected_high=high, share=1.0),
        ),
        basis=Basis(evaluated=(key,)),
    )
