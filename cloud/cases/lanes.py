"""Lanes: what a case needs first, decided when it opens, with the reason. Pure.

What flows in: the case's severity and what became of the same fault on the same device before. What flows out: one of
three lanes and a sentence.
"""

from dataclasses import dataclass
from enum import StrEnum

from edge_agent.protocol.faults import FAULTS, DetectorKind, Severity

RECOVERIES = (
    3  # so often a fault must have recovered by itself, and nobody have found one, to be called self-recovering
)
KNOWN_TO_RECOVER = frozenset({"clock.unsynchronised", "wifi.weak", "thermal.throttling"})  # by their catalogue entries


class Lane(StrEnum):
    """What a case needs first."""

    ACT_NOW = "act_now"  # somebody must do something now
    JUDGEMENT = "judgement"  # a person must look at it and decide
    KNOWN = "known"  # it recovers by itself, or its remedy is known


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Closed cases of the same fault on the same device."""

    recovered: int = 0  # closed as no fault found, expected or a false alarm
    confirmed: int = 0  # closed as a true fault


def choose_lane(fault: str, severity: Severity, judge: str, history: History) -> tuple[Lane, str]:
    """Return the lane of a new case and why it is in it."""
    if severity in (Severity.CRITICAL, Severity.HIGH):
        return Lane.ACT_NOW, f"Severity {severity}: act before the customer notices."
    known = FAULTS.get(fault)
    if known is None:
        return Lane.JUDGEMENT, "The fault catalogue does not have this fault: read the device's own description."
    if history.recovered >= RECOVERIES and not history.confirmed:
        times = f"{history.recovered} earlier cases of this fault on this device were closed without a fault"
        return Lane.KNOWN, f"{times}. {_remedy(fault, 'If this one is real')}"
    if fault in KNOWN_TO_RECOVER:
        return Lane.KNOWN, f"This fault usually recovers by itself. {_remedy(fault)}"
    if judge == DetectorKind.RULE:
        return Lane.KNOWN, f"A rule is certain of this fault, and its remedy is known. {_remedy(fault, 'Do first')}"
    return (
        Lane.JUDGEMENT,
        f"Severity {severity}, estimated by a {judge or 'unknown'} detector: check the evidence first.",
    )


def _remedy(fault: str, when: str = "If it does not") -> str:
    """The first step of the catalogue's advice."""
    advice = FAULTS[fault].advice
    return f"{when}: {advice[0]}" if advice else ""
