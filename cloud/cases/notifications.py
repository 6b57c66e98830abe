"""Notifications: who is told what, and when. Pure rules.

What flows in: a case before and after a change with the new lines of its timeline, and the last notification about the
same. What flows out: requests, each with its reason, and what becomes of a request when somebody was told already.

There is one mail for a case and one for a problem, however many cases it has. A mail waits for a moment, so that what
belongs together can be grouped; what becomes critical waits least.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from cloud.cases.cases import Case, EntryKind, TimelineEntry
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.wording import duration

SYSTEM = "forewarn"  # the actor of what no person did
CRITICAL_WAIT_S = 5.0
OPERATIONS = "ingest."  # faults of the cloud itself, which are for whoever runs it


class NotificationEvent(StrEnum):
    """What a notification is about."""

    OPENED = "opened"  # a case, or a problem, has begun
    CRITICAL = "critical"  # a case has become critical
    REOPENED = "reopened"  # a fault is back after it was resolved
    REMINDER = "reminder"  # a snooze is over
    HANDED_OVER = "handed_over"  # to its new owner
    FOLLOWED = "followed"  # to the first owner after a hand-over: what happens next
    BREACHED = "breached"  # a goal of the service level was missed


class Audience(StrEnum):
    """Who is told."""

    TEAM = "team"  # support
    OPERATORS = "operators"  # whoever runs the cloud
    PERSON = "person"  # one account


class Fate(StrEnum):
    """What becomes of a request."""

    NEW = "new"  # a mail of its own
    COUNTED = "counted"  # an earlier mail covers it; it is counted there


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRules:
    """How eagerly people are told."""

    group_wait_s: float = 30.0
    repeat_after_s: float = 4 * 3600.0
    least_severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A notification that the rules want."""

    event: NotificationEvent
    audience: Audience
    person: str = ""
    text: str
    reason: str
    wait_s: float
    in_office_hours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The last notification of the same event about the same case or problem, to the same address."""

    is_pending: bool
    created_at: datetime


_FOLLOWED = frozenset(
    {
        EntryKind.NOTE,
        EntryKind.HANDED_OVER,
        EntryKind.RELEASED,
        EntryKind.TAKEN,
        EntryKind.SEVERITY,
        EntryKind.BREAKOUT,
        EntryKind.PENDING_CLOSE,
        EntryKind.REOPENED,
        EntryKind.MERGED,
        EntryKind.CLOSED,
    }
)


def group_key(case: Case) -> str:
    """Return what the mails about a case are grouped by: its problem, or itself."""
    return f"problem:{case.problem_number}" if case.problem_number else f"case:{case.number}"


def requests(
    before: Case | None, after: Case, entries: Sequence[TimelineEntry], actor: str, rules: NotificationRules
) -> tuple[Request, ...]:
    """Return who is told of a change."""
    if after.severity.rank > rules.least_severity.rank:
        return ()
    found = [*_to_team(before, after, entries, actor, rules), *_to_people(before, after, entries, actor, rules)]
    if not after.fault.startswith(OPERATIONS):
        return tuple(found)
    operators = Audience.OPERATORS
    return tuple(replace(each, audience=operators) if each.audience is Audience.TEAM else each for each in found)


def _to_team(
    before: Case | None, after: Case, entries: Sequence[TimelineEntry], actor: str, rules: NotificationRules
) -> Iterator[Request]:
    wait_s = rules.group_wait_s
    if before is None:
        is_critical = after.severity is Severity.CRITICAL
        wait_s = min(wait_s, CRITICAL_WAIT_S) if is_critical else wait_s
        yield _team(NotificationEvent.OPENED, entries[0].text, f"new case, {after.severity}", wait_s)
        return
    kinds = {entry.kind: entry for entry in entries}
    if after.severity is Severity.CRITICAL and before.severity is not Severity.CRITICAL:
        text = " ".join(entry.text for entry in entries)
        yield _team(NotificationEvent.CRITICAL, text, "it has become critical", min(wait_s, CRITICAL_WAIT_S))
    elif actor == SYSTEM and EntryKind.REOPENED in kinds:
        yield _team(NotificationEvent.REOPENED, kinds[EntryKind.REOPENED].text, "the fault is back", wait_s)
    if EntryKind.BREACHED in kinds:
        yield _team(NotificationEvent.BREACHED, kinds[EntryKind.BREACHED].text, "a goal was missed", 0.0)


def _to_people(
    before: Case | None, after: Case, entries: Sequence[TimelineEntry], actor: str, rules: NotificationRules
) -> Iterator[Request]:
    kinds = {entry.kind: entry for entry in entries}
    if EntryKind.REMINDER in kinds and actor == SYSTEM and after.owner:
        text = kinds[EntryKind.REMINDER].text
        reason = f"{after.owner} owns the case, and the snooze is over"
        yield _person(NotificationEvent.REMINDER, after.owner, text, reason, 0.0)
    if EntryKind.HANDED_OVER in kinds and after.owner and after.owner != actor:
        text = kinds[EntryKind.HANDED_OVER].text
        yield _person(NotificationEvent.HANDED_OVER, after.owner, text, f"{after.owner} is the new owner", 0.0)
    first = (before and before.first_owner) or after.first_owner  # closing the case ends it, and is told too
    if first and first not in (actor, after.owner):
        news = [entry.text for entry in entries if entry.kind in _FOLLOWED]
        if news:
            reason = f"{first} handed the case over and is kept informed until it is closed"
            yield _person(NotificationEvent.FOLLOWED, first, " ".join(news), reason, rules.group_wait_s)


def _team(event: NotificationEvent, text: str, reason: str, wait_s: float) -> Request:
    return Request(event=event, audience=Audience.TEAM, text=text, reason=reason, wait_s=wait_s)


def _person(event: NotificationEvent, person: str, text: str, reason: str, wait_s: float) -> Request:
    return Request(
        event=event,
        audience=Audience.PERSON,
        person=person,
        text=text,
        reason=reason,
        wait_s=wait_s,
        in_office_hours=event is NotificationEvent.REMINDER,
    )


_ONCE = frozenset({NotificationEvent.OPENED})
_EACH = frozenset({NotificationEvent.REMINDER, NotificationEvent.HANDED_OVER, NotificationEvent.BREACHED})


def fate(request: Request, earlier: Earlier | None, rules: NotificationRules, now: datetime) -> tuple[Fate, str]:
    """Say what becomes of a request, and why."""
    if earlier is None or request.event in _EACH:
        return Fate.NEW, request.reason
    if earlier.is_pending:
        return Fate.COUNTED, "a mail about it has not been sent yet"
    if request.event in _ONCE:
        return Fate.COUNTED, "a mail about it was sent before"
    if request.event is NotificationEvent.FOLLOWED:
        return Fate.NEW, request.reason
    quiet = timedelta(seconds=rules.repeat_after_s)
    if now - earlier.created_at < quiet:
        return Fate.COUNTED, f"a mail about it was sent within {duration(rules.repeat_after_s)}"
    return Fate.NEW, request.reason
