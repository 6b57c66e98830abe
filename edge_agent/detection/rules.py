"""Rules: states that are wrong in themselves. In flow features, out flows a verdict for each rule that holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.metrics import metric_of, series, series_attributes, series_name
from edge_agent.protocol.records import Carrier, Threshold

HOT_CEL = 80.0  # Raspberry Pi firmware begins to slow the ARM cores (documentation, frequency-management)
COOLED_BY_CEL = 5.0  # hysteresis: how far below the limit a sensor must fall to count as cool again
HOT_FOR_S = 60.0  # shorter peaks are what a busy processor does
_BELIEVABLE_LIMIT_CEL = (50.0, 110.0)  # drivers report 0, 65261.8 and the like where a chip has no limit


@dataclass(slots=True)
class Rules:
    """Remembers since when each sensor has been hot."""

    _hot_since: dict[str, float] = field(default_factory=dict)

    def step(self, values: Mapping[str, float], uptime_s: float) -> list[Verdict]:
        """Return what is wrong in this sample."""
        return [*_read_only(values), *self._throttling(values, uptime_s)]

    def _throttling(self, values: Mapping[str, float], uptime_s: float) -> Iterator[Verdict]:
        for key, celsius in values.items():
            if series_name(key) != "hw.temperature":
                continue
            limit = _limit_cel(values, series_attributes(key)["hw.name"])
            if celsius < limit - (COOLED_BY_CEL if key in self._hot_since else 0.0):
                self._hot_since.pop(key, None)
                continue
            hot_s = uptime_s - self._hot_since.setdefault(key, uptime_s)
            if hot_s >= HOT_FOR_S:
                yield _too_hot(key, celsius, limit, hot_s)


def _limit_cel(values: Mapping[str, float], sensor: str) -> float:
    """The sensor's own limit where its driver states a believable one, else the Pi's."""
    low, high = _BELIEVABLE_LIMIT_CEL
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


def _read_only(values: Mapping[str, float]) -> Iterator[Verdict]:
    for key, refuses in values.items():
        if refuses and series_name(key) == "system.filesystem.read_only":
            yield Verdict(
                fault="storage.read_only",
                component=series_attributes(key)["system.filesystem.mountpoint"],
                confidence=1.0,
                reason="the file system was mounted for writing and now refuses writes",
                carriers=(Carrier(metric=key, value=refuses, unit="1", expected_high=0.0, share=1.0),),
                basis=Basis(judged=(key,)),
            )
