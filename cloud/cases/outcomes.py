"""Outcomes: what a closed case really was, as staff report it when they close it. Words only; no I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Label(StrEnum):
    """The outcome of a closed case, as staff labelled it."""

    TRUE_FAULT = "true_fault"  # the device was about to fail, or failed
    FALSE_ALARM = "false_alarm"  # nothing was wrong, and nothing had changed
    EXPECTED = "expected"  # somebody did that on purpose
    NO_FAULT_FOUND = "no_fault_found"  # something was reported, and nothing could be found
    DUPLICATE = "duplicate"  # another case is about the same


class Cause(StrEnum):
    """Why it happened, in the few words that can be counted; the note has the details."""

    HARDWARE = "hardware"  # a part failed, or wears out
    SOFTWARE = "software"  # a defect of a program
    CONFIGURATION = "configuration"  # a setting was wrong or missing
    CAPACITY = "capacity"  # too small for what it has to do
    POWER = "power"  # supply, cable or power cut
    NETWORK = "network"  # the connection, not the device
    ENVIRONMENT = "environment"  # heat, dust, water, vibration
    PLANNED_WORK = "planned_work"  # maintenance, an update or a test
    USAGE = "usage"  # the customer uses the device in another way than before
    DETECTION = "detection"  # the detector was wrong
    UNKNOWN = "unknown"  # nobody knows


class Noticed(StrEnum):
    """The customer's answer to: had you noticed before we told you?"""

    YES = "yes"  # the customer was first
    NO = "no"  # the warning was first
    NOT_ASKED = "not_asked"  # nobody asked, or the customer does not know


class Advice(StrEnum):
    """Whether the steps of the knowledge article ended the fault."""

    WORKED = "worked"  # they did
    FAILED = "failed"  # they were carried out, and the fault went on
    NOT_USED = "not_used"  # something else was done, or nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a person reports when closing a case.

    `impact_at`: when the customer noticed, or when the fault took effect; None if it did not come to that.
    """

    label: Label
    cause: Cause = Cause.UNKNOWN
    noticed: Noticed = Noticed.NOT_ASKED
    advice: Advice = Advice.NOT_USED
    impact_at: datetime | None = None
    note: str = ""

    def sentences(self) -> Iterator[str]:
        """Yield what is known beside the label, for the timeline."""
        if self.cause is not Cause.UNKNOWN:
            yield f"Cause: {self.cause.replace('_', ' ')}."
        if self.noticed is not Noticed.NOT_ASKED:
            yield f"The customer had{'' if self.noticed is Noticed.YES else ' not'} noticed before."
        if self.impact_at:
            yield f"Impact at {self.impact_at:%Y-%m-%d %H:%M} UTC."
        if self.advice is not Advice.NOT_USED:
            yield f"The advice {'worked' if self.advice is Advice.WORKED else 'did not work'}."
        if self.note.strip():
            yield self.note.strip()

    def detail(self) -> dict[str, str]:
        """Return the outcome as the detail of a timeline entry."""
        at = {"impact_at": self.impact_at.isoformat()} if self.impact_at else {}
        words = {"label": self.label, "cause": self.cause, "noticed": self.noticed, "advice": self.advice}
        return {**words, **at, "note": self.note.strip()}


def outcome_of(detail: Mapping[str, str]) -> Outcome:
    """Read the detail of a timeline entry back; entries of earlier versions have a label and a note only."""
    at = detail.get("impact_at")
    return Outcome(
        label=Label(detail["label"]),
        cause=Cause(detail.get("cause", Cause.UNKNOWN)),
        noticed=Noticed(detail.get("noticed", Noticed.NOT_ASKED)),
        advice=Advice(detail.get("advice", Advice.NOT_USED)),
        impact_at=datetime.fromisoformat(at) if at else None,
        note=detail.get("note", ""),
    )
