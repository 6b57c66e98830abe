"""Staff rules: hand-over, snooze with its reminder, merge and unmerge. Pure.

What flows in: a case, who wants what, and the time. What flows out: the case after it and the lines of its timeline, or
`Refused` with a sentence for the person.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from cloud.cases.cases import WORKING, Case, CaseState, EntryKind, Refused, TimelineEntry, refuse_if_done
from edge_agent.protocol.wording import duration

LONGEST_SNOOZE = timedelta(days=90)

Outcome = tuple[Case, tuple[TimelineEntry, ...]]


def handed_over(case: Case, actor: str, to: str, note: str, now: datetime) -> Outcome:
    """Give an assigned case to another person, with a note. Its first owner is kept informed until it is closed."""
    refuse_if_done(case)
    if case.owner is None:
        raise Refused(f"Case {case.number} is not assigned. Assign it to yourself first, then hand it over.")
    if to == case.owner:
        raise Refused(f"Case {case.number} is assigned to {to} already.")
    if not note.strip():
        raise Refused("Enter a note for the next owner: what you know, and what is to be done.")
    first_owner = case.first_owner or case.owner
    whose = "" if case.owner == actor else f" (was {case.owner})"
    text = f"Handed over to {to} by {actor}{whose}: {note.strip()}"
    entry = TimelineEntry(EntryKind.HANDED_OVER, text, {"from": case.owner, "to": to, "first_owner": first_owner})
    return replace(case, owner=to, first_owner=first_owner, updated_at=now), (entry,)


def assigned(case: Case, to: str, actor: str, now: datetime) -> Outcome:
    """Give a case to a person, whoever has it; the one who had it is not kept informed, unlike after a hand-over."""
    refuse_if_done(case)
    if case.owner == to:
        return case, ()
    whose = f" (was {case.owner})" if case.owner else ""
    kind = EntryKind.TAKEN if to == actor else EntryKind.HANDED_OVER
    entry = TimelineEntry(kind, f"Assigned to {to} by {actor}{whose}.", {"from": case.owner or "", "to": to})
    state = CaseState.OPEN if case.state is CaseState.NEW else case.state
    return replace(case, owner=to, state=state, updated_at=now), (entry,)


def undone(case: Case, before: Case, actor: str, now: datetime) -> Outcome:
    """Put back what a person has just set; what devices have reported meanwhile stays."""
    after = replace(
        case,
        state=before.state,
        owner=before.owner,
        label=before.label,
        closed_at=before.closed_at,
        first_owner=before.first_owner,
        reminder_at=before.reminder_at,
        reminder_note=before.reminder_note,
        updated_at=now,
    )
    whose = f"assigned to {before.owner}" if before.owner else "unassigned"
    text = f"Undone by {actor} within ten seconds: the case is {_words(before.state)} and {whose} again."
    return after, (TimelineEntry(EntryKind.UNDONE, text),)


def contacted(case: Case, actor: str, note: str, now: datetime) -> Outcome:
    """Say that a person has spoken with the customer: from then on the customer waits."""
    refuse_if_done(case)
    text = f"Customer contacted by {actor}" + (f": {note.strip()}" if note.strip() else ".")
    return replace(case, updated_at=now), (TimelineEntry(EntryKind.CONTACTED, text, {"author": actor}),)


def informed(case: Case) -> frozenset[str]:
    """Return who is told what happens to a case: its owner, and the first owner after a hand-over."""
    return frozenset(name for name in (case.owner, case.first_owner) if name)


def snoozed(case: Case, actor: str, until: datetime, note: str, now: datetime) -> Outcome:
    """Put a case off until a date; who puts an unassigned case off, owns it."""
    if case.state not in WORKING:
        raise Refused(f"Case {case.number} is {_words(case.state)} and can't be snoozed.")
    if until <= now:
        raise Refused("The reminder must be in the future.")
    if until - now > LONGEST_SNOOZE:
        raise Refused(f"A case is snoozed for at most {LONGEST_SNOOZE.days} days.")
    why = f": {note.strip()}" if note.strip() else "."
    text = f"Snoozed by {actor} for {duration((until - now).total_seconds())}{why}"
    after = replace(
        case,
        state=CaseState.PENDING_REMINDER,
        owner=case.owner or actor,
        reminder_at=until,
        reminder_note=note.strip(),
        updated_at=now,
    )
    return after, (TimelineEntry(EntryKind.SNOOZED, text, {"until": until.isoformat()}),)


def reminded(case: Case, now: datetime) -> Outcome:
    """End a snooze whose time has come."""
    if case.state is not CaseState.PENDING_REMINDER or case.reminder_at is None or now < case.reminder_at:
        return case, ()
    note = f": {case.reminder_note}" if case.reminder_note else "."
    entry = TimelineEntry(EntryKind.REMINDER, f"Reminder for {case.owner or 'everybody'}{note}")
    return replace(awake(case), updated_at=now), (entry,)


def woken(case: Case, actor: str, now: datetime) -> Outcome:
    """End a snooze before its time."""
    if case.state is not CaseState.PENDING_REMINDER:
        raise Refused(f"Case {case.number} is not snoozed.")
    return replace(awake(case), updated_at=now), (TimelineEntry(EntryKind.REMINDER, f"Snooze ended by {actor}."),)


def awake(case: Case) -> Case:
    """Return the case without its snooze."""
    state = CaseState.OPEN if case.owner else CaseState.NEW
    return replace(case, state=state, reminder_at=None, reminder_note="")


def merged(case: Case, into: Case, actor: str, now: datetime) -> tuple[Outcome, Outcome]:
    """Continue a case in another one of the same device; return both. The faults move, the timelines stay."""
    if case.number == into.number:
        raise Refused(f"Case {case.number} can't be merged into itself.")
    for each in (case, into):
        refuse_if_done(each)
    if case.device != into.device:
        raise Refused("Only cases of one device are merged. Cases of several devices are linked by a problem.")
    after = replace(
        case, state=CaseState.MERGED, merged_into=into.number, closed_at=now, reminder_at=None, updated_at=now
    )
    here = TimelineEntry(EntryKind.MERGED, f"Merged into case {into.number} by {actor}.", {"into": str(into.number)})
    there = TimelineEntry(
        EntryKind.MERGED,
        f"Case {case.number} ({case.title}) merged into this case by {actor}.",
        {"case": str(case.number)},
    )
    goes_on = into.state is CaseState.PENDING_REMINDER or case.state in WORKING
    target = replace(awake(into) if goes_on else into, updated_at=now)
    return (after, (here,)), (target, (there,))


def unmerged(case: Case, into: Case, actor: str, reason: str, now: datetime) -> tuple[Outcome, Outcome]:
    """Take a merge back; return both cases. The faults that moved move back, and both go on from there."""
    if case.state is not CaseState.MERGED or case.merged_into != into.number:
        raise Refused(f"Case {case.number} is not merged into case {into.number}.")
    if into.state is CaseState.MERGED:
        raise Refused(f"Case {into.number} was merged too. Unmerge that one first.")
    if not reason.strip():
        raise Refused("Enter a reason for the unmerge.")
    after = replace(awake(case), merged_into=None, closed_at=None, updated_at=now)
    here = TimelineEntry(EntryKind.UNMERGED, f"Unmerged from case {into.number} by {actor}: {reason.strip()}")
    there = TimelineEntry(EntryKind.UNMERGED, f"Case {case.number} unmerged by {actor}: {reason.strip()}")
    return (after, (here,)), (replace(into, updated_at=now), (there,))


def _words(state: CaseState) -> str:
    return state.replace("_", " ")
