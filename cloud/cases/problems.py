"""Problems: one cause behind many cases. Pure rules: when cases are linked, and what a person may do with a problem.

What flows in: a case that opens, the open problems of its fault, and the cases of the same fault that opened shortly
before. What flows out: the problem that it joins, or the cases that make a new one, with the reason.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from cloud.cases.cases import Case, EntryKind, Refused, TimelineEntry
from cloud.cases.rules import Rules
from edge_agent.protocol.faults import FAULTS, OBSERVED_BY_CLOUD, Severity
from edge_agent.protocol.wording import duration

VALUE_LENGTH = 200  # of the store's column


class Scope(StrEnum):
    """What the devices of a problem have in common, the most telling first."""

    FIRMWARE = "firmware"
    SITE = "site"
    MODEL = "model"  # of the device's hardware


class ProblemState(StrEnum):
    """The state of a problem."""

    OPEN = "open"  # takes further cases
    CLOSED = "closed"  # all its cases are closed


class ProblemKind(StrEnum):
    """The kind of an entry of a problem's timeline."""

    OPENED = "opened"
    TAKEN = "taken"
    ANNOUNCED = "announced"
    NOTE = "note"
    UNLINKED = "unlinked"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A case with what it could have in common with others; `number` is 0 while the case is about to be opened."""

    number: int
    device: str
    fault: str
    at: datetime
    firmware: str = ""
    site: str = ""
    model: str = ""

    def value(self, scope: Scope) -> str:
        """Return the value of this scope; empty if unknown."""
        return {Scope.FIRMWARE: self.firmware, Scope.SITE: self.site, Scope.MODEL: self.model}[scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What the rules need to know of a problem; `number` is 0 until the store has given it one."""

    number: int = 0
    fault: str
    scope: Scope
    value: str
    title: str
    state: ProblemState
    opened_at: datetime
    opened_reason: str
    last_case_at: datetime
    owner: str | None = None
    announcement: str = ""
    announced_by: str = ""
    announced_at: datetime | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProblemEntry:
    """One line of a problem's timeline."""

    kind: ProblemKind
    text: str


ProblemOutcome = tuple[Problem, tuple[ProblemEntry, ...]]


def find_problem(member: Member, problems: Iterable[Problem], rules: Rules) -> Problem | None:
    """Return the open problem that a case belongs to: the same fault, something in common, and still growing."""
    since = member.at - timedelta(seconds=rules.problem_window_s)
    fitting = [
        problem
        for problem in problems
        if (problem.state, problem.fault) == (ProblemState.OPEN, member.fault)
        and member.value(problem.scope) == problem.value
        and problem.last_case_at >= since
    ]
    return min(fitting, key=lambda problem: problem.number, default=None)


def find_group(member: Member, recent: Sequence[Member], rules: Rules) -> tuple[Scope, tuple[Member, ...]] | None:
    """Return what makes enough cases one problem, and those cases; `recent` belong to none yet."""
    since = member.at - timedelta(seconds=rules.problem_window_s)
    for scope in _scopes(member.fault):
        value = member.value(scope)
        alike = tuple(
            other
            for other in recent
            if value and other.fault == member.fault and other.value(scope) == value and other.at >= since
        )
        if len({member.device, *(other.device for other in alike)}) >= rules.problem_devices:
            return scope, alike
    return None


def _scopes(fault: str) -> tuple[Scope, ...]:
    """The scopes in the order in which they explain a fault: devices that are absent share a place, not a firmware."""
    by_place = (Scope.SITE, Scope.FIRMWARE, Scope.MODEL)
    return by_place if fault in OBSERVED_BY_CLOUD else tuple(Scope)


def opened(member: Member, group: tuple[Scope, tuple[Member, ...]], rules: Rules, now: datetime) -> ProblemOutcome:
    """Open a problem for a case and those that it was grouped with."""
    scope, alike = group
    value = member.value(scope)[:VALUE_LENGTH]
    devices = len({member.device, *(other.device for other in alike)})
    reason = (
        f"{devices} devices of {scope} {value} reported {member.fault} within {duration(rules.problem_window_s)}; "
        "probably one cause."
    )
    problem = Problem(
        fault=member.fault,
        scope=scope,
        value=value,
        title=f"{_name(member.fault)} on several devices of {scope} {value}",
        state=ProblemState.OPEN,
        opened_at=now,
        opened_reason=reason,
        last_case_at=now,
    )
    return problem, (ProblemEntry(ProblemKind.OPENED, f"{problem.title}. {reason}"),)


def linked(case: Case, problem: Problem, now: datetime) -> tuple[Case, TimelineEntry]:
    """Link a case to a problem."""
    text = f"Linked to problem {problem.number}: same fault and same {problem.scope} ({problem.value})."
    entry = TimelineEntry(EntryKind.LINKED, text, {"problem": str(problem.number)})
    return replace(case, problem_number=problem.number, updated_at=now), entry


def unlinked(case: Case, actor: str, reason: str, now: datetime) -> tuple[Case, tuple[TimelineEntry, ...]]:
    """Take a case out of its problem, because a person knows better."""
    if case.problem_number is None:
        raise Refused(f"Case {case.number} belongs to no problem.")
    if not reason.strip():
        raise Refused("Enter why this case has another cause.")
    text = f"Unlinked from problem {case.problem_number} by {actor}: {reason.strip()}"
    entry = TimelineEntry(EntryKind.UNLINKED, text, {"problem": str(case.problem_number)})
    return replace(case, problem_number=None, updated_at=now), (entry,)


def stands_apart(fault: str, severity: Severity, current: Case, problem: Problem | None) -> bool:
    """Whether an episode may not join the device's current case, because only one of the two belongs to a problem.

    A member of a storm does not bury what a person already works on, and a critical fault of another kind is never
    buried in a storm.
    """
    if problem is not None:
        return current.problem_number != problem.number
    return current.problem_number is not None and severity is Severity.CRITICAL and fault != current.fault


def taken(problem: Problem, actor: str) -> ProblemOutcome:
    """Give the problem to a person."""
    _refuse_if_closed(problem)
    if problem.owner == actor:
        return problem, ()
    whose = f" (was {problem.owner})" if problem.owner else ""
    return replace(problem, owner=actor), (ProblemEntry(ProblemKind.TAKEN, f"Assigned to {actor}{whose}."),)


def announced(problem: Problem, actor: str, text: str, now: datetime) -> ProblemOutcome:
    """Set the announcement, the one text that all cases of the problem show; an empty one withdraws it."""
    _refuse_if_closed(problem)
    text = text.strip()
    line = f"Announcement by {actor}: {text}" if text else f"Announcement withdrawn by {actor}."
    after = replace(problem, announcement=text, announced_by=actor, announced_at=now)
    return after, (ProblemEntry(ProblemKind.ANNOUNCED, line),)


def noted(problem: Problem, text: str) -> ProblemOutcome:
    """Write something down."""
    if not text.strip():
        raise Refused("The note is empty.")
    return problem, (ProblemEntry(ProblemKind.NOTE, text.strip()),)


def closed(problem: Problem, reason: str, now: datetime) -> ProblemOutcome:
    """Close the problem; it takes no further cases."""
    _refuse_if_closed(problem)
    after = replace(problem, state=ProblemState.CLOSED, closed_at=now)
    return after, (ProblemEntry(ProblemKind.CLOSED, reason),)


def _refuse_if_closed(problem: Problem) -> None:
    if problem.state is ProblemState.CLOSED:
        raise Refused(f"Problem {problem.number} is closed.")


def _name(fault: str) -> str:
    return FAULTS[fault].title if fault in FAULTS else f"{fault[:120]} (unknown fault)"
