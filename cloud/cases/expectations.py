"""Expectations: what staff closed as expected or as a false alarm is normal on that device, for a time.

Pure rules. What flows in: what is expected of a device, and a case that is closed, reopened or goes on. What flows out:
what is expected then, and the decisions with their reasons. The device is told all of it in one message
(docs/wire-protocol.md) and makes a note of what is in it, instead of a case.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cloud.cases.outcomes import Label
from edge_agent.protocol.faults import FAULTS, OBSERVED_BY_CLOUD, DetectorKind, Severity
from edge_agent.protocol.records import MAX_EXPECTED, ExpectedTrend, ExpectedTrends

# What was done on purpose is done again; what nobody can explain deserves another look after a while. A pattern of a
# model has no extent: it would cover whatever this component does, so it is expected for two weeks only.
LASTS = {Label.EXPECTED: timedelta(days=180), Label.FALSE_ALARM: timedelta(days=30)}
MODEL_LASTS = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFault:
    """A fault of the case, with the lowest headroom that was seen of it; None if that is not known, or is no trend."""

    fault: str
    component: str
    least_left: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFault:
    """One fault of one component that is a note on its device until `until`."""

    fault: str
    component: str
    least_left: float
    until: datetime
    label: Label
    case_number: int

    @property
    def key(self) -> tuple[str, str]:
        """A device expects one thing of a fault on a component."""
        return self.fault, self.component


Expected = tuple[ExpectedFault, ...]


def on_labelled(
    expected: Expected, case_number: int, label: Label, seen: Sequence[SeenFault], now: datetime
) -> tuple[Expected, tuple[str, ...]]:
    """Expect the faults of a case that was closed with this label. Returns a reason for each fault."""
    if label not in LASTS:
        return on_reopened(expected, case_number)
    reasons, added = [], {}
    for one in seen:
        until, reason = _decide(one, label, now)
        reasons.append(reason)
        if until:
            fault = ExpectedFault(
                fault=one.fault,
                component=one.component,
                least_left=one.least_left or 0.0,
                until=until,
                label=label,
                case_number=case_number,
            )
            added[fault.key] = fault
    kept = [one for one in expected if one.key not in added and one.until > now]
    return _limited((*kept, *added.values())), tuple(reasons)


def on_reopened(expected: Expected, case_number: int) -> tuple[Expected, tuple[str, ...]]:
    """Take back what a case taught: its label is void."""
    kept = tuple(one for one in expected if one.case_number != case_number)
    withdrawn = len(expected) - len(kept)
    if not withdrawn:
        return expected, ()
    return kept, ("The device reports this fault as usual again.",)


def on_seen(expected: Expected, case_number: int, seen: Sequence[SeenFault]) -> Expected:
    """Extend what a closed case taught: the same fault went on after the closing, and used up more."""
    least = {(one.fault, one.component): one.least_left for one in seen}

    def extended(one: ExpectedFault) -> ExpectedFault:
        known = least.get(one.key)
        if one.case_number != case_number or known is None or known >= one.least_left:
            return one
        return replace(one, least_left=known)

    return tuple(extended(one) for one in expected)


def message(expected: Expected, now: datetime) -> ExpectedTrends:
    """Return the message for the device, without what is over."""
    return ExpectedTrends(
        expected=[
            ExpectedTrend(fault=one.fault, component=one.component, least_left=one.least_left, until=one.until)
            for one in expected
            if one.until > now
        ]
    )


def _decide(seen: SeenFault, label: Label, now: datetime) -> tuple[datetime | None, str]:
    """Return until when a fault is expected, if it is, and why."""
    known, name = FAULTS.get(seen.fault), f"{seen.fault} on {seen.component}"
    if known is None:
        return None, f"{name}: not in the fault catalogue, so the device reports it as usual."
    if seen.fault in OBSERVED_BY_CLOUD:
        return None, f"{name}: the cloud observes this fault, so there is nothing for the device to learn."
    if known.severity is Severity.CRITICAL:
        return None, f"{name}: critical faults are always reported."
    if known.detector is DetectorKind.TREND and seen.least_left is None:
        return None, f"{name}: its headroom is not known, so the device reports it as usual."
    lasts = MODEL_LASTS if known.detector is DetectorKind.MODEL else LASTS[label]
    extent = ", as far as it went this time" if known.detector is DetectorKind.TREND else ""
    return now + lasts, f"{name}: the device opens no case for it until {now + lasts:%Y-%m-%d}{extent}."


def _limited(expected: Expected) -> Expected:
    """Keep what fits into one message: what lasts longest."""
    return tuple(sorted(expected, key=lambda one: one.until, reverse=True)[:MAX_EXPECTED])
