"""Storage rules: a file system refuses writes or has recorded errors, or flash memory is worn out."""

from collections.abc import Iterator, Mapping

from edge_agent.detection.verdicts import Basis, Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import series_attributes, series_name
from edge_agent.protocol.records import Carrier, Threshold

FRESH_FOR_S = 3600.0  # new errors are more urgent than old ones that are not repaired
WORN_BELOW = 0.1  # share of the endurance left: eMMC reports it in tenths


class StorageRules:
    """Stores the error count of each file system, and when it last rose."""

    def __init__(self) -> None:
        self._errors: dict[str, float] = {}
        self._rose_at_s: dict[str, float] = {}

    def step(self, values: Mapping[str, float], at_s: float) -> Iterator[Verdict]:
        """Yield a verdict for each rule that holds."""
        for key, value in values.items():
            name = series_name(key)
            if name == "system.filesystem.read_only" and value:
                yield _read_only(key, value)
            elif name == "hw.errors":
                yield from self._io_errors(key, value, at_s)
            elif name == "hw.physical_disk.endurance_utilization" and value <= WORN_BELOW:
                yield _worn(key, value, f"{value:.0%} of the rated endurance is left")
            elif name == "hw.status" and value and _predicts_failure(key):
                yield _worn(key, value, "the device reports that its spare blocks are nearly used up")

    def _io_errors(self, key: str, errors: float, at_s: float) -> Iterator[Verdict]:
        """Yield a verdict while the count is above zero: a file system keeps it until it is checked."""
        if errors > self._errors.setdefault(key, errors):
            self._rose_at_s[key] = at_s
        self._errors[key] = errors
        if errors <= 0:
            return
        fresh = at_s - self._rose_at_s.get(key, float("-inf")) < FRESH_FOR_S
        yield Verdict(
            fault="storage.io_errors",
            component=series_attributes(key)["hw.name"],
            confidence=1.0,
            reason=f"the file system has recorded {errors:.0f} errors since its last check"
            + (", some of them within the last hour" if fresh else ", none of them within the last hour"),
            severity=None if fresh else Severity.WARNING,
            carriers=(Carrier(metric=key, value=errors, unit="{error}", expected_high=0.0, share=1.0),),
            basis=Basis(evaluated=(key,)),
        )


def _read_only(key: str, refuses: float) -> Verdict:
    return Verdict(
        fault="storage.read_only",
        component=series_attributes(key)["system.filesystem.mountpoint"],
        confidence=1.0,
        reason="the file system was mounted read-write and now refuses writes",
        carriers=(Carrier(metric=key, value=refuses, unit="1", expected_high=0.0, share=1.0),),
        basis=Basis(evaluated=(key,)),
    )


def _predicts_failure(key: str) -> bool:
    attributes = series_attributes(key)
    return attributes.get("hw.type") == "physical_disk" and attributes.get("hw.state") == "predicted_failure"


def _worn(key: str, value: float, reason: str) -> Verdict:
    wears = series_name(key) == "hw.physical_disk.endurance_utilization"
    return Verdict(
        fault="storage.worn",
        component=series_attributes(key)["hw.name"],
        confidence=1.0,
        reason=reason,
        carriers=(Carrier(metric=key, value=value, unit="1", share=1.0),),
        basis=Basis(
            evaluated=(key,),
            threshold=Threshold(metric=key, value=WORN_BELOW, meaning="worn out") if wears else None,
        ),
    )
