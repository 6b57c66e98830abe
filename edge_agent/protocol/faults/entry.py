"""The form of a catalogue entry: severity, kind of detector, and the texts for staff."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How urgent a finding or a case is, most urgent first."""

    CRITICAL = "critical"  # the customer is about to notice, or data is being lost
    HIGH = "high"  # the customer will notice within hours
    WARNING = "warning"  # the customer will notice within a day, or a state is certainly wrong
    INFO = "info"  # worth keeping; opens no case

    @property
    def rank(self) -> int:
        """0 for the most urgent."""
        return list(Severity).index(self)


class DetectorKind(StrEnum):
    """The three kinds of detector on the device."""

    RULE = "rule"  # certain: a state that is wrong in itself
    TREND = "trend"  # a series that approaches a limit
    MODEL = "model"  # a pattern that no rule describes


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One entry of the catalogue.

    `headline` has the placeholders ``{component}`` and ``{device}``. `impact` is what the customer would notice, as a
    clause ("writes to it fail"). `advice` lists the steps for a support agent, in order. `source` cites the definition
    or the measurement that the entry is based on.
    """

    code: str
    detector: DetectorKind
    severity: Severity
    component: str
    title: str
    headline: str
    impact: str
    advice: tuple[str, ...]
    source: str
