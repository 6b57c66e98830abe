"""The form of a catalogue entry: severity, kind of detector, and the texts for staff."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How urgent a finding or a case is, most urgent first."""

    CRITICAL = "critical"  # the customer is about to notice, or already loses data
    HIGH = "high"  # the customer will notice within hours
    WARNING = "warning"  # the customer will notice within a day, or something is certainly not as it should be
    INFO = "info"  # worth keeping; opens no case

    @property
    def rank(self) -> int:
        """0 for the most urgent."""
        return list(Severity).index(self)


class Judge(StrEnum):
    """The three kinds of judge on the device."""

    RULE = "rule"  # certain: a state that is wrong in itself
    TREND = "trend"  # a series on its way to a limit
    MODEL = "model"  # a pattern that nobody listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One entry of the catalogue.

    `headline` has the places ``{component}`` and ``{device}``; `impact` is what the customer would notice, as a clause
    ("writes to it fail"); `advice` are the steps for a support agent, in order; `source` says where the entry's
    knowledge comes from.
    """

    code: str
    judge: Judge
    severity: Severity
    component: str
    title: str
    headline: str
    impact: str
    advice: tuple[str, ...]
    source: str
