"""Formatting for people: relative times, quantities with units, names of metrics, states and labels.

What flows in: values. What flows out: short plain English. `static/console.js` formats times in the same way, so that
a page reads the same before and after its script has started.
"""

from datetime import datetime

from cloud.cases.lanes import Lane
from cloud.cases.outcomes import Advice, Cause, Noticed
from cloud.store.tables import CaseState, Label
from edge_agent.protocol import wording

LABELS = {
    Label.TRUE_FAULT: ("True fault", "the device was about to fail, or failed"),
    Label.FALSE_ALARM: ("False alarm", "nothing was wrong, and nothing had changed"),
    Label.EXPECTED: ("Expected", "the cause was intended, such as maintenance or a test"),
    Label.NO_FAULT_FOUND: ("No fault found", "it was checked, and nothing was found"),
    Label.DUPLICATE: ("Duplicate", "another case covers the same fault"),
}

CAUSES = {
    Cause.HARDWARE: "Hardware: a part failed or wears out",
    Cause.SOFTWARE: "Software: a defect of a program",
    Cause.CONFIGURATION: "Configuration: a setting was wrong",
    Cause.CAPACITY: "Capacity: too small for its work",
    Cause.POWER: "Power: supply, cable or power cut",
    Cause.NETWORK: "Network: the connection, not the device",
    Cause.ENVIRONMENT: "Environment: heat, dust, water, vibration",
    Cause.PLANNED_WORK: "Planned work: maintenance, update or test",
    Cause.USAGE: "Usage: the device is used differently",
    Cause.DETECTION: "Detection: the detector was wrong",
    Cause.UNKNOWN: "Unknown",
}

NOTICED = {Noticed.YES: "Yes", Noticed.NO: "No", Noticed.NOT_ASKED: "Not asked"}

ADVICE = {Advice.WORKED: "It worked", Advice.FAILED: "It did not work", Advice.NOT_USED: "Not used"}

STATES = {
    CaseState.NEW: "New",
    CaseState.OPEN: "Open",
    CaseState.PENDING_REMINDER: "Pending reminder",
    CaseState.PENDING_CLOSE: "Pending close",
    CaseState.CLOSED: "Closed",
    CaseState.MERGED: "Merged",
}

LANES = {
    Lane.ACT_NOW: "Needs action now",
    Lane.JUDGEMENT: "Needs a person's judgement",
    Lane.KNOWN: "Known or self-recovering",
}

PRESENCE = {"online": "Online", "offline": "Offline", "going_down": "Going down", "expected": "Not reported yet"}

SNOOZES = {  # how long a case is put off: its words, and seconds
    "1h": ("1 hour", 3600),
    "4h": ("4 hours", 4 * 3600),
    "1d": ("1 day", 86_400),
    "3d": ("3 days", 3 * 86_400),
    "7d": ("1 week", 7 * 86_400),
}

CLOCKS = {
    "acknowledge": "acknowledge",
    "first_response": "first response",
    "resolution": "resolve",
    "customer": "customer waits,",
}

DETECTORS = {"rule": "rule", "trend": "trend detector", "model": "anomaly model"}

_CALIBRATED = "persistence"  # in the version of a trend detector whose confidence is a probability (ADR 14)


def confidence_meaning(judge: str, version: str, confidence: float) -> str:
    """Explain the confidence of a detector in a sentence; empty for a kind of detector that is not known here."""
    match judge:
        case "trend" if confidence >= 1:
            return "The limit is reached: measured, not estimated."
        case "trend" if _CALIBRATED in version:
            come_true = f"Of 100 warnings like this one, about {round(100 * confidence)} came true"
            return f"{come_true}: the trend reached its limit within one and a half times the expected time."
        case "trend":
            return "A measure of how steady the trend is, not a probability: whether it goes on is not known."
        case "rule":
            return "The condition was measured, not estimated."
        case "model":
            return "A measure of the distance from normal, not a probability."
    return ""


def duration(seconds: float, *, coarse: bool = False) -> str:
    """Return a length of time in at most two units, or in one if `coarse`: ``3 h 10 min``, ``45 s``, ``2 d 4 h``.

    In one unit it counts what is complete, as people do with ages: after 119 min something is 1 h old.
    """
    seconds = max(0.0, seconds)
    if not coarse or seconds < 89.5:
        return wording.duration(seconds)
    if seconds < 5400:
        return f"{int(seconds // 60)} min"
    return f"{int(seconds // 3600)} h" if seconds < 172_800 else f"{int(seconds // 86_400)} d"


def lead_time(seconds: float) -> str:
    """Return a lead time, ``3 h 10 min``; one that came too late says so."""
    return duration(seconds) if seconds >= 0 else f"{duration(-seconds)} too late"


def ago(then: datetime, now: datetime) -> str:
    """Return how long ago something was, in one unit."""
    return f"{duration((now - then).total_seconds(), coarse=True)} ago"


def countdown(impact: datetime, now: datetime) -> str:
    """Return how long until the customer would notice, or how long ago that was due."""
    left = (impact - now).total_seconds()
    return f"in {duration(left)}" if left > 0 else f"due {duration(-left)} ago"


def interval(low: datetime, high: datetime, now: datetime) -> str:
    """Return the range of a time to impact, ``between 2 h 40 min and 3 h 50 min``; empty if it is none in words."""
    soonest, latest = (low - now).total_seconds(), (high - now).total_seconds()
    if soonest > 0:
        first, last = duration(soonest), duration(latest)
        return f"between {first} and {last}" if first != last else ""
    if latest > 0:
        return f"any moment now, in {duration(latest)} at the latest"
    return f"the latest estimate passed {duration(-latest)} ago"


def clock(at: datetime) -> str:
    """Return an exact instant in UTC, for readers without JavaScript; the script says it in the reader's zone."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def percent(share: float) -> str:
    """Return a share as whole percent; what is not nothing is not shown as nothing."""
    return "under 1 %" if 0 < share < 0.01 else f"{share * 100:.0f} %"
