"""Observations: how urgent it is what the cloud observes. Pure.

What flows in: a fault, and how the last case of it on this device was closed. What flows out: a severity with its
reason. A device that is switched off every weekend is no case every weekend: what staff closed as expected is a note on
the watch list for a while, as it is when a device reports it. Critical faults are always reported.
"""

from datetime import datetime, timedelta

from cloud.cases.cases import Label
from edge_agent.protocol.faults import FAULTS, Severity

LASTS = {Label.EXPECTED: timedelta(days=180), Label.FALSE_ALARM: timedelta(days=30)}


def severity_of(fault: str, label: Label | None, closed_at: datetime | None, now: datetime) -> tuple[Severity, str]:
    """Return the severity of an observation, and why it is not that of the catalogue; empty if it is."""
    usual = FAULTS[fault].severity
    lasts = LASTS.get(label) if label else None
    if usual is Severity.CRITICAL or lasts is None or closed_at is None or now >= closed_at + lasts:
        return usual, ""
    until = f"{closed_at + lasts:%Y-%m-%d}"
    return (
        Severity.INFO,
        f"Only a note until {until}: the last case of it was closed as {str(label).replace('_', ' ')}.",
    )
