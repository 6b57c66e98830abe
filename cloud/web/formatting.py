"""Formatting for people: relative times, quantities with units, names of metrics, states and labels.

What flows in: values. What flows out: short plain English. `static/console.js` formats times in the same way, so that
a page reads the same before and after its script has started.
"""

from datetime import datetime

from cloud.cases.lanes import Lane
from cloud.store.tables import CaseState, Label
from edge_agent.protocol import wording

LABELS = {
    Label.TRUE_FAULT: ("True fault", "the device was about to fail, or failed"),
    Label.FALSE_ALARM: ("False alarm", "nothing was wrong, and nothing had changed"),
    Label.EXPECTED: ("Expected", "the cause was intended, such as maintenance or a test"),
    Label.NO_FAULT_FOUND: ("No fault found", "it was checked, and nothing was found"),
    Label.DUPLICATE: ("Duplicate", "another case covers the same fault"),
}

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

PRESENCE = {"online": "Online", "offline": "Offline", "going_down": "Going down"}

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
        case "trend" if _CALIBRATED in version:
            come_true = f"Of 100 trends with this confidence, about {round(100 * confidence)} reach their limit"
            return f"{come_true} within one and a half times the expected time."
        case "trend":
            return "A measure of how steady the trend is, not a probability."
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
