"""Cases: what support staff work on. Pure rules: where an episode goes, how urgent a case is, what a person may do.

What flows in: a case, what happened or who wants what, and the time. What flows out: the case after it and the lines of
its timeline, or `Refused` with a sentence for the person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from cloud.cases.episodes import Episode
from cloud.cases.lanes import History, Lane, choose_lane
from cloud.cases.outcomes import Label as Label
from cloud.cases.outcomes import Outcome
from edge_agent.protocol.faults import FAULTS, OBSERVED_BY_CLOUD, Severity


class CaseState(StrEnum):
    """The state of a case, as Zammad names it."""

    NEW = "new"  # not assigned
    OPEN = "open"  # assigned, in progress
    PENDING_REMINDER = "pending_reminder"  # on hold until a date that its owner set
    PENDING_CLOSE = "pending_close"  # all faults are resolved; needs a label
    CLOSED = "closed"  # done, with a label
    MERGED = "merged"  # continued in another case


TITLE_LENGTH = 400  # of the store's column; longer ones come only from devices that make names up
DONE = frozenset({CaseState.CLOSED, CaseState.MERGED})
WORKING = frozenset({CaseState.NEW, CaseState.OPEN, CaseState.PENDING_REMINDER})

# A fault that comes back shows that the cure did not hold, or where to look: it is the same story. The other labels say
# that the first report was no fault of this device. Another report then deserves a verdict of its own, and reopening
# would wipe a label that precision is computed from.
REOPENED_ON_RETURN = frozenset({Label.TRUE_FAULT, Label.NO_FAULT_FOUND})


class EntryKind(StrEnum):
    """The kind of a timeline entry."""

    OPENED = "opened"  # the case began
    FINDING = "finding"  # another fault of the device joined it
    BREAKOUT = "breakout"  # a critical one joined it, to be seen apart from the rest
    SEVERITY = "severity"  # more or less urgent than before
    CLEARED = "cleared"  # the device says that a fault is over
    FLAPPED = "flapped"  # it came back at once
    RESOLVED = "resolved"  # a fault has stayed away
    PENDING_CLOSE = "pending_close"  # nothing is wrong any more
    EVIDENCE = "evidence"  # a part of an evidence pack came in
    REOPENED = "reopened"  # it goes on, by a person or because the fault is back
    TAKEN = "taken"  # a person works on it
    RELEASED = "released"  # nobody works on it any more
    CLOSED = "closed"  # a person said what it was
    NOTE = "note"  # a person wrote something down
    EXPLAINED = "explained"  # a fault is a consequence of another fault of this case
    UNEXPLAINED = "unexplained"  # the cause is over, the consequence is not
    HANDED_OVER = "handed_over"  # a person gave it to another one
    SNOOZED = "snoozed"  # put off until a date
    REMINDER = "reminder"  # that date has come, or a person ended the snooze
    MERGED = "merged"  # continued in another case, or another case continues here
    UNMERGED = "unmerged"  # a merge was taken back
    LINKED = "linked"  # it belongs to a problem
    UNLINKED = "unlinked"  # it does not, says a person
    EXPECTATION = "expectation"  # what the device learned from the label
    CONTACTED = "contacted"  # a person has spoken with the customer for the first time
    UNDONE = "undone"  # a person took a change back at once
    BREACHED = "breached"  # a goal of the service level was missed


class Refused(ValueError):  # noqa: N818  the system works as it should
    """A change that can't be made, with a sentence for the person who wanted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the rules need to know of a case; `number` is 0 until the store has given it one."""

    number: int = 0
    device: str
    title: str
    state: CaseState
    severity: Severity
    severity_reason: str
    opened_at: datetime
    opened_reason: str
    updated_at: datetime
    impact_low_at: datetime | None = None
    impact_at: datetime | None = None
    impact_high_at: datetime | None = None
    owner: str | None = None
    label: Label | None = None
    closed_at: datetime | None = None
    fault: str = ""  # that it was opened for
    lane: Lane | None = None
    lane_reason: str = ""
    problem_number: int | None = None
    first_owner: str | None = None  # who handed it over first, and is kept informed until it is closed
    reminder_at: datetime | None = None
    reminder_note: str = ""
    merged_into: int | None = None


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of a timeline."""

    kind: EntryKind
    text: str
    detail: dict[str, str] = field(default_factory=dict)


def title_of(device: str, episode: Episode) -> str:
    """The catalogue's headline; a fault of a newer device shows its code until the cloud knows it too."""
    known = FAULTS.get(episode.fault)
    if known is None:
        return f"{episode.fault} on {episode.component} of {device}"[:TITLE_LENGTH]
    return known.headline.format(component=episode.component, device=device)[:TITLE_LENGTH]


def can_share(fault: str, other: str) -> bool:
    """Whether two faults of one device belong into one case.

    What the cloud observes is about the device's connection or about the cloud itself, and is not mixed with what the
    device reports. A device that stalls and is then disconnected is one story.
    """
    return _group(fault) == _group(other)


def _group(fault: str) -> str:
    return fault.split(".")[0] if fault in OBSERVED_BY_CLOUD else ""


def choose_case(own: Case | None, current: Case | None) -> Case | None:
    """Choose the case that a firing episode goes to; None for a new one.

    `own` had the same fault on the same component within the reopening window: what comes back goes on there, unless
    staff said that it was none. Else `current`, the newest case of the device that is being worked on: two faults of
    one device at one time are mostly one cause, and always one call to the customer. A case that only waits for its
    label takes nobody else's faults.
    """
    if own and (own.state not in DONE or own.label in REOPENED_ON_RETURN):
        return own
    return current


def opened(device: str, episode: Episode, reason: str, own: Case | None, now: datetime) -> tuple[Case, TimelineEntry]:
    """Open a case for an episode that fires, for this reason. Its lane is chosen by `in_lane`."""
    title = title_of(device, episode)
    if own and own.label:
        closed_as = _words(own.label)
        reason += f" Case {own.number} had the same fault and was closed as {closed_as}; this case gets its own label."
    case = Case(
        device=device,
        title=title,
        state=CaseState.NEW,
        severity=episode.severity,
        severity_reason=episode.severity_reason,
        opened_at=now,
        opened_reason=reason,
        updated_at=now,
        fault=episode.fault,
    )
    return case, TimelineEntry(EntryKind.OPENED, f"{title}. {reason}", _names(episode))


def in_lane(case: Case, judge: str, history: History) -> Case:
    """Put a case that opens into its lane."""
    lane, reason = choose_lane(case.fault, case.severity, judge, history)
    return replace(case, lane=lane, lane_reason=reason)


def attach_episode(case: Case, episode: Episode, fired: str, now: datetime) -> tuple[Case, TimelineEntry]:
    """Take an episode into a case that exists; one that was waiting to be closed, or closed, goes on."""
    title = title_of(case.device, episode)
    if case.state not in WORKING:
        text = f"{title}: the fault recurred, so this case is reopened ({fired})."
        return _working(case, now), TimelineEntry(EntryKind.REOPENED, text, _names(episode))
    if episode.severity is Severity.CRITICAL:
        text = f"Critical fault added: {title} ({episode.severity_reason}). Handle this one first."
        return _end_reminder(case, now), TimelineEntry(EntryKind.BREAKOUT, text, _names(episode))
    text = f"{title}: added here because this case of the same device is open ({fired})."
    return replace(case, updated_at=now), TimelineEntry(EntryKind.FINDING, text, _names(episode))


def recompute_severity(case: Case, firing: Sequence[Episode], now: datetime) -> tuple[Case, tuple[TimelineEntry, ...]]:
    """Give a case the severity and the impact of its firing episodes: the most urgent, and the earliest.

    What another fault explains counts only when nothing else is left. A closed case stays as staff left it, unless it
    becomes critical: that was not what they closed.
    """
    if not firing:
        return _without_firing(case, now)
    firing = [each for each in firing if each.explained_by is None] or firing
    worst = min(firing, key=lambda episode: episode.severity.rank)
    escalated = worst.severity is Severity.CRITICAL and case.severity is not Severity.CRITICAL
    if case.state in DONE and not escalated:
        return case, ()
    entries: list[TimelineEntry] = []
    after = _with_impact(case, firing)
    if worst.severity is not case.severity:
        detail: dict[str, str] = {"from": case.severity, "to": worst.severity}
        entries.append(TimelineEntry(EntryKind.SEVERITY, f"Severity is now {worst.severity_reason}.", detail))
    after = _needs_action(replace(after, severity=worst.severity, severity_reason=worst.severity_reason))
    if case.state in DONE:
        after = _working(after, now)
        entries.append(TimelineEntry(EntryKind.REOPENED, "Reopened: it became critical after it was closed."))
    elif escalated:
        after = _end_reminder(after, now)
    return (replace(after, updated_at=now) if after != case else case), tuple(entries)


def taken(case: Case, actor: str, now: datetime) -> tuple[Case, tuple[TimelineEntry, ...]]:
    """Give the case to a person; who has it already keeps it."""
    refuse_if_done(case)
    if case.owner == actor:
        return case, ()
    if case.owner:
        raise Refused(f"Case {case.number} is assigned to {case.owner}. Unassign it first.")
    state = CaseState.OPEN if case.state is CaseState.NEW else case.state
    entry = TimelineEntry(EntryKind.TAKEN, f"Assigned to {actor}.")
    return replace(case, owner=actor, state=state, updated_at=now), (entry,)


def released(case: Case, actor: str, now: datetime) -> tuple[Case, tuple[TimelineEntry, ...]]:
    """Put the case back. Anybody may: its owner can be ill, and the timeline says who did it."""
    refuse_if_done(case)
    if case.owner is None:
        raise Refused(f"Case {case.number} is not assigned.")
    whose = "" if case.owner == actor else f" (was {case.owner})"
    state = case.state if case.state is CaseState.PENDING_CLOSE else CaseState.NEW
    entry = TimelineEntry(EntryKind.RELEASED, f"Unassigned by {actor}{whose}.")
    return replace(case, owner=None, state=state, reminder_at=None, updated_at=now), (entry,)


def closed(case: Case, actor: str, outcome: Outcome, now: datetime) -> tuple[Case, tuple[TimelineEntry, ...]]:
    """Close the case with what it really was. That is allowed while a fault still holds: it may be there on purpose."""
    refuse_if_done(case)
    if outcome.impact_at and outcome.impact_at > now:
        raise Refused("The time of the impact is in the future. Enter when it happened, or leave it empty.")
    text = " ".join((f"Closed by {actor} as {_words(outcome.label)}.", *outcome.sentences()))
    entry = TimelineEntry(EntryKind.CLOSED, text, outcome.detail())
    after = replace(case, state=CaseState.CLOSED, label=outcome.label, closed_at=now, updated_at=now)
    return replace(after, reminder_at=None, first_owner=None), (entry,)


def reopened(case: Case, actor: str, reason: str, now: datetime) -> tuple[Case, tuple[TimelineEntry, ...]]:
    """Open the case again by a person, who says why. Its label is void; the timeline keeps it."""
    if case.state in WORKING:
        raise Refused(f"Case {case.number} is already open.")
    if case.state is CaseState.MERGED:
        raise Refused(f"Case {case.number} was merged into another case.")
    if not reason.strip():
        raise Refused("Enter a reason for reopening the case.")
    entry = TimelineEntry(EntryKind.REOPENED, f"Reopened by {actor}: {reason.strip()}")
    return _working(case, now), (entry,)


def noted(case: Case, actor: str, text: str, now: datetime) -> tuple[Case, tuple[TimelineEntry, ...]]:
    """Write something down, on a closed case too."""
    if not text.strip():
        raise Refused("The note is empty.")
    return replace(case, updated_at=now), (TimelineEntry(EntryKind.NOTE, text.strip(), {"author": actor}),)


def _without_firing(case: Case, now: datetime) -> tuple[Case, tuple[TimelineEntry, ...]]:
    if case.state not in WORKING:
        return case, ()
    text = "All faults are resolved. Close the case with a label."
    after = replace(_with_impact(case, ()), state=CaseState.PENDING_CLOSE, reminder_at=None, updated_at=now)
    return after, (TimelineEntry(EntryKind.PENDING_CLOSE, text),)


def _needs_action(case: Case) -> Case:
    """Move a case that has become urgent to the lane for it; a case is never moved to a quieter one."""
    if case.severity not in (Severity.CRITICAL, Severity.HIGH) or case.lane in (None, Lane.ACT_NOW):
        return case
    return replace(case, lane=Lane.ACT_NOW, lane_reason=f"Severity is now {case.severity_reason}.")


def _with_impact(case: Case, firing: Sequence[Episode]) -> Case:
    """The earliest impact of what still holds; an episode in its hold-down threatens nothing."""
    holding = [(each.impact_at, each) for each in firing if each.impact_at and each.cleared_at is None]
    if not holding:
        return replace(case, impact_low_at=None, impact_at=None, impact_high_at=None)
    _, first = min(holding, key=lambda pair: pair[0])
    return replace(
        case, impact_low_at=first.impact_low_at, impact_at=first.impact_at, impact_high_at=first.impact_high_at
    )


def _working(case: Case, now: datetime) -> Case:
    state = CaseState.OPEN if case.owner else CaseState.NEW
    return replace(case, state=state, label=None, closed_at=None, reminder_at=None, updated_at=now)


def _end_reminder(case: Case, now: datetime) -> Case:
    """Wake a case that was put off: critical can't wait for the day that its owner set."""
    return _working(case, now) if case.state is CaseState.PENDING_REMINDER else replace(case, updated_at=now)


def refuse_if_done(case: Case) -> None:
    """Raise Refused for a case that is closed or merged."""
    if case.state in DONE:
        raise Refused(f"Case {case.number} is {case.state}. Reopen it first.")


def _names(episode: Episode) -> dict[str, str]:
    return {"fault": episode.fault, "component": episode.component}


def _words(label: Label) -> str:
    return label.replace("_", " ")
