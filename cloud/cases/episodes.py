"""Episodes: one fault on one component of one device, from its first finding to its clearing. Pure rules.

What flows in: an episode and an event (a finding, or only the passing of time). What flows out: the changed episode and
the decisions that were made, each with a reason in plain English.

Two clocks, never mixed: `at` is when it happened, by the device's clock where that was right, and decides; `now` is the
cloud's clock, and only dates what the cloud did. So a backlog delivered in one second is handled like the same findings
delivered over a day.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from cloud.cases.rules import Rules as Rules
from cloud.cases.rules import Thresholds
from edge_agent.protocol.faults import FAULTS, OBSERVED_BY_CLOUD, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Finding, Phase
from edge_agent.protocol.wording import duration

FURTHEST_S = 3650 * 86400.0  # an impact further away is no prediction, and would leave the calendar


class EpisodeState(StrEnum):
    """The state of an episode."""

    PENDING = "pending"  # reported, but not yet for long enough to open a case, or only for information
    FIRING = "firing"  # has a case
    RESOLVED = "resolved"  # cleared for the whole hold-down


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveSilence:
    """A silence that covers an episode now."""

    number: int
    until: datetime
    reason: str  # whose silence, what for, until when: a clause for a support agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """What the rules need to know of an episode; the store keeps the device's own text beside it."""

    fault: str
    component: str
    state: EpisodeState
    severity: Severity
    severity_reason: str
    first_at: datetime
    impact_low_at: datetime | None = None
    impact_at: datetime | None = None
    impact_high_at: datetime | None = None
    fired_at: datetime | None = None
    cleared_at: datetime | None = None
    resolved_at: datetime | None = None
    findings: int = 0
    flaps: int = 0
    confidence: float = 1.0
    first_severity: str = ""  # what it began as; info: it was on the watch list
    silence_number: int | None = None  # the silence that suppressed it
    suppressed_until: datetime | None = None
    explained_by: int | None = None  # the id of the episode that this one is a consequence of


class Change(StrEnum):
    """What a decision did to an episode."""

    OPENED = "opened"  # the first finding: it is pending until it lasts
    RAISED = "raised"  # more urgent than before
    FIRED = "fired"  # it opened or joined a case
    CLEARED = "cleared"  # the device reports clear; the hold-down begins
    FLAPPED = "flapped"  # recurred within the hold-down
    RESOLVED = "resolved"  # no recurrence for the whole hold-down
    SUPPRESSED = "suppressed"  # would have fired, and a silence covers it
    EXPLAINED = "explained"  # another fault of the device is its cause
    UNEXPLAINED = "unexplained"  # that fault is over, and this one is not
    ACKNOWLEDGED = "acknowledged"  # a person has seen it


@dataclass(frozen=True, slots=True)
class Decision:
    """One change and why, as a sentence for a support agent."""

    change: Change
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A finding, or only the passing of time: when it happened (`at`) and when the cloud processed it (`now`)."""

    at: datetime
    now: datetime
    finding: Finding | None = None  # None if only time has passed
    silence: ActiveSilence | None = None  # the one that covers the episode at `now`


Transition = tuple[Episode, tuple[Decision, ...]]
_Stage = Callable[[Episode, Event, Rules], tuple[Episode, Decision | None]]


def dated(at: Instant, received_at: datetime) -> datetime:
    """Date a device's instant: by its wall clock if that was set by a time server, else by its arrival.

    Never later than the arrival. Raises ValueError for a wall time without a zone, which is no instant at all, and
    OverflowError for one at the very edge of the calendar.
    """
    if at.wall.tzinfo is None:
        raise ValueError(f"wall: {at.wall.isoformat()} has no time zone")
    return min(at.wall.astimezone(UTC), received_at) if at.synced else received_at


def on_first_finding(finding: Finding, event: Event, rules: Rules) -> Transition:
    """Start an episode with its first finding."""
    opened = Decision(Change.OPENED, f"first finding: {finding.reason}")
    episode = Episode(
        fault=finding.fault,
        component=finding.component,
        state=EpisodeState.PENDING,
        severity=finding.severity,
        severity_reason=_device_reason(finding),
        first_at=event.at,
        first_severity=finding.severity,
    )
    episode, decisions = _run_stages((_update_impact, _raise, _fire), episode, replace(event, finding=finding), rules)
    return episode, (opened, *decisions)


def on_finding(episode: Episode, finding: Finding, event: Event, rules: Rules) -> Transition:
    """Apply another finding to the unresolved episode of its fault and component."""
    thresholds, event = rules.thresholds(episode.fault), replace(event, finding=finding)
    weak = Severity.CRITICAL not in (finding.severity, episode.severity)  # critical is exempt from both thresholds
    if finding.phase is Phase.CLEAR or (weak and finding.confidence < thresholds.resolve_below):
        return _run_stages((_fire, _clear), episode, event, rules)
    if episode.cleared_at and weak and finding.confidence < thresholds.open_above:
        return _run_stages((_update_impact,), episode, event, rules)  # between the two: it neither clears nor recurs
    return _run_stages((_flap, _update_impact, _raise, _fire), episode, event, rules)


def on_time_passed(episode: Episode, event: Event, rules: Rules) -> Transition:
    """Apply the passing of time to an unresolved episode: debounce, hold-down and time to impact."""
    return _run_stages((_resolve, _raise, _fire), episode, event, rules)


def _run_stages(stages: tuple[_Stage, ...], episode: Episode, event: Event, rules: Rules) -> Transition:
    decisions = []
    for stage in stages:
        episode, decision = stage(episode, event, rules)
        if decision:
            decisions.append(decision)
    return episode, tuple(decisions)


def _update_impact(episode: Episode, event: Event, _rules: Rules) -> tuple[Episode, None]:
    """Copy the predicted impact and the confidence from the finding."""
    impact = event.finding.impact if event.finding else None
    low_at, impact_at, high_at = (
        (None, None, None)
        if impact is None
        else (_after(event.at, seconds) for seconds in (impact.low_s, impact.likely_s, impact.high_s))
    )
    confidence = event.finding.confidence if event.finding else episode.confidence
    after = replace(episode, impact_low_at=low_at, impact_at=impact_at, impact_high_at=high_at, confidence=confidence)
    return replace(after, findings=episode.findings + 1), None


def _raise(episode: Episode, event: Event, rules: Rules) -> tuple[Episode, Decision | None]:
    """Raise the severity when the device says so or the impact comes near.

    It is not lowered before the episode is over: a prediction that recedes is as often a log that was rotated
    as a cure, and an inbox that reorders itself under the reader's hand is worse than one that stays careful.
    The time to impact follows the newest finding all the same.
    """
    candidates = [each for each in (_by_device(event), _by_impact(episode, event, rules)) if each]
    more_urgent = [each for each in candidates if each[0].rank < episode.severity.rank]
    if not more_urgent or episode.cleared_at or episode.state is EpisodeState.RESOLVED:
        return episode, None
    severity, reason = min(more_urgent, key=lambda each: each[0].rank)
    return replace(episode, severity=severity, severity_reason=reason), Decision(Change.RAISED, reason)


def _fire(episode: Episode, event: Event, rules: Rules) -> tuple[Episode, Decision | None]:
    """Fire a pending episode that is urgent, or has lasted, unless a silence covers it."""
    reason = _why_now(episode, event, rules.thresholds(episode.fault))
    if reason is None:
        return episode, None
    if event.silence:
        return _suppress(episode, event.silence)
    if episode.silence_number is not None:
        reason += f"; evaluated again after silence {episode.silence_number}"
    fired = replace(episode, state=EpisodeState.FIRING, fired_at=event.now, suppressed_until=None)
    return fired, Decision(Change.FIRED, reason)


def _why_now(episode: Episode, event: Event, thresholds: Thresholds) -> str | None:
    """Why a pending episode fires now; what is only for information opens no case."""
    if episode.state is not EpisodeState.PENDING or episode.severity is Severity.INFO or episode.cleared_at:
        return None
    if episode.severity is Severity.CRITICAL:
        return "critical findings skip the debounce"
    lasted_s = max(_lasted_by_uptime_s(event.finding), (event.at - episode.first_at).total_seconds())
    if episode.confidence < thresholds.open_above or lasted_s < thresholds.debounce_s:
        return None
    return _lasted(lasted_s, thresholds.debounce_s)


def _suppress(episode: Episode, silence: ActiveSilence) -> tuple[Episode, Decision | None]:
    after = replace(episode, silence_number=silence.number, suppressed_until=silence.until)
    return after, Decision(Change.SUPPRESSED, silence.reason) if after != episode else None


def _lasted(lasted_s: float, debounce_s: float) -> str:
    lasted, debounce = duration(lasted_s), duration(debounce_s)
    return f"lasted {lasted} ({'the full' if lasted == debounce else 'longer than the'} {debounce} debounce)"


def _clear(episode: Episode, event: Event, rules: Rules) -> tuple[Episode, Decision | None]:
    """Begin the hold-down."""
    if episode.cleared_at:
        return episode, None
    cause = (
        "the cloud observes that it is over"
        if episode.fault in OBSERVED_BY_CLOUD
        else "reported as cleared by the device"
    )
    if event.finding and event.finding.phase is not Phase.CLEAR:
        below = rules.thresholds(episode.fault).resolve_below
        cause = f"its confidence of {event.finding.confidence:.0%} is below {below:.0%}"
    hold_down_s = rules.thresholds(episode.fault).hold_down_s
    reason = f"{cause}; resolved after {duration(hold_down_s)} without recurrence"
    return replace(episode, cleared_at=event.at), Decision(Change.CLEARED, reason)


def _flap(episode: Episode, event: Event, rules: Rules) -> tuple[Episode, Decision | None]:
    """End the hold-down: the fault has recurred."""
    if episode.cleared_at is None:
        return episode, None
    away_s = (event.at - episode.cleared_at).total_seconds()
    watched = duration(rules.thresholds(episode.fault).hold_down_s)
    reason = f"recurred {duration(away_s)} after it cleared, within the {watched} hold-down"
    return replace(episode, cleared_at=None, flaps=episode.flaps + 1), Decision(Change.FLAPPED, reason)


def _resolve(episode: Episode, event: Event, rules: Rules) -> tuple[Episode, Decision | None]:
    """Resolve an episode whose hold-down is over."""
    if episode.cleared_at is None:
        return episode, None
    hold_down_s = rules.thresholds(episode.fault).hold_down_s
    over_at = episode.cleared_at + timedelta(seconds=hold_down_s)
    if event.at < over_at:
        return episode, None
    resolved = replace(episode, state=EpisodeState.RESOLVED, resolved_at=over_at)
    return resolved, Decision(Change.RESOLVED, f"no recurrence for {duration(hold_down_s)}")


def _by_device(event: Event) -> tuple[Severity, str] | None:
    finding = event.finding
    return (finding.severity, _device_reason(finding)) if finding else None


def _device_reason(finding: Finding) -> str:
    by = "for this fault by the cloud" if finding.fault in OBSERVED_BY_CLOUD else "by the device"
    return f"{finding.severity}: severity set {by}"


def _by_impact(episode: Episode, event: Event, rules: Rules) -> tuple[Severity, str] | None:
    """How urgent the time to impact is: by the likely instant, or by the earliest one that the device thinks possible.

    The earliest counts because a call too late is worse than a call too early. The impact of a note does not count: the
    device has decided that it is unlikely (ADR 14), or expected (ADR 17).
    """
    severities = {episode.severity, event.finding.severity if event.finding else Severity.INFO}
    if episode.impact_at is None or episode.impact_low_at is None or severities == {Severity.INFO}:
        return None
    likely_s = (episode.impact_at - event.at).total_seconds()
    low_s = min(likely_s, (episode.impact_low_at - event.at).total_seconds())
    for severity, limit_s in rules.limits():
        if low_s < limit_s:
            when = _when(likely_s) if likely_s < limit_s else f"{_when(likely_s)}, possibly {_when(low_s)}"
            expected = f"the device predicts that {_consequence(episode.fault)} {when}"
            return severity, f"{severity}: {expected}; less than {duration(limit_s)} is {severity}"
    return None


def _when(seconds: float) -> str:
    return f"in {duration(seconds)}" if seconds > 0 else "now"


def _consequence(fault: str) -> str:
    """The first clause of what the customer would notice: ``writes fail``."""
    known = FAULTS.get(fault)
    return re.split(r"[:,;]", known.impact)[0] if known else "the customer is affected"


def _lasted_by_uptime_s(finding: Finding | None) -> float:
    """For how long it has been true by the device's own uptime, which no clock step changes."""
    if finding is None or finding.since.boot_id != finding.at.boot_id:
        return 0.0
    return finding.at.uptime_s - finding.since.uptime_s


def _after(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=min(seconds, FURTHEST_S))
