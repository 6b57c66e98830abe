"""Sensors: readings that no longer move, or that nothing in the world can have. (`missing` has the silent ones.)"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge_agent.detection.rules.hold_timer import HoldTimer
from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import metric_of, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Finding
from edge_agent.protocol.wording import duration, quantity

POSSIBLE = {"hw.temperature": (-45.0, 150.0), "hw.fan.speed": (0.0, 30_000.0)}
NONSENSE_FOR_S = 60.0  # a single bad reading is the bus, not the sensor
SENSIBLE_FOR = 60  # readings: drivers of chips without a sensor report nonsense from the start, for ever

# A fan stands still by design and a voltage is steady; only temperatures must move.
MOVES = "hw.temperature"
MOVED_FOR = 100  # changes of value: fewer don't tell how often it moves
STUCK_FOR_S = 4 * 3600.0  # a coarse sensor in a cool room can keep its value for an hour or two
STUCK_FACTOR = 100.0  # times as long as it usually stands still


@dataclass(slots=True)
class _Sensor:
    value: float
    changed_at_s: float
    usual_s: float = 0.0  # mean time between two changes
    changes: int = 0
    sensible: int = 0


class Sensors:
    """Remembers of each sensor when it last moved and how often it does."""

    def __init__(self) -> None:
        self._sensors: dict[str, _Sensor] = {}

    def step(self, values: Mapping[str, float], at_s: float, lasting: HoldTimer) -> Iterator[Verdict]:
        """Yield a verdict for each sensor that stands still or says what can't be."""
        for key, value in values.items():
            name = series_name(key)
            if name not in POSSIBLE:
                continue
            sensor = self._sensors.setdefault(key, _Sensor(value, at_s))
            if name == MOVES and (stuck_s := _stands_still_s(sensor, value, at_s)):
                reason = f"exactly {quantity(value, metric_of(key).unit)} for {duration(stuck_s)}"
                usual = f"; before, it changed every {duration(sensor.usual_s)} or so" if sensor.usual_s else ""
                yield _verdict("sensor.stuck", key, value, reason + usual)
            low, high = POSSIBLE[name]
            sensible = low <= value <= high
            sensor.sensible += sensible
            wrong = not sensible and sensor.sensible >= SENSIBLE_FOR
            nonsense_s = lasting.lasted_s(("nonsense", key), wrong, at_s)
            if nonsense_s is not None and nonsense_s >= NONSENSE_FOR_S:
                what = quantity(value, metric_of(key).unit)
                yield _verdict("sensor.out_of_range", key, value, f"it reads {what}, which can't be")

    def resume(self, finding: Finding) -> None:
        """Resume a finding that was open when the agent stopped: how the sensor was before is known by it."""
        for carrier in finding.carriers:
            if finding.fault == "sensor.stuck":
                self._sensors[carrier.metric] = _Sensor(carrier.value, -STUCK_FOR_S, changes=MOVED_FOR)
            elif finding.fault == "sensor.out_of_range":
                self._sensors[carrier.metric] = _Sensor(carrier.value, 0.0, sensible=SENSIBLE_FOR)


def _stands_still_s(sensor: _Sensor, value: float, at_s: float) -> float | None:
    """Take a reading; return for how long the sensor has been stuck, if it is."""
    still_s = at_s - sensor.changed_at_s
    if value == sensor.value:
        stuck = sensor.changes >= MOVED_FOR and still_s >= max(STUCK_FOR_S, STUCK_FACTOR * sensor.usual_s)
        return still_s if stuck else None
    sensor.changes = sensor.changes + 1 if sensor.usual_s else 1  # of one that was resumed nothing else is known
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
