"""Service levels: how long a case may wait for whom. Pure rules.

What flows in: the clocks of a case, what happened to it, a calendar, and the time. What flows out: the clocks after it.

The support clock runs from the opening of the case: nobody outside knows of it yet. The customer clock runs from the
first word with the customer, who from then on waits. They are never mixed, and each counts working time only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from cloud.cases.calendars import Calendar
from cloud.cases.cases import DONE, WORKING, Case, CaseState, EntryKind, TimelineEntry
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.wording import duration

_HOUR_S, _MINUTE_S = 3600.0, 60.0
_LONGEST_S = 366 * 24 * _HOUR_S


class ClockKind(StrEnum):
    """The clocks of a case."""

    ACKNOWLEDGE = "acknowledge"  # support clock: until a person has it
    FIRST_RESPONSE = "first_response"  # support clock: until the first word with the customer
    RESOLUTION = "resolution"  # support clock: until all faults are resolved, or the case is closed
    CUSTOMER = "customer"  # customer clock: from the first word until the case is closed


NAMES = {
    ClockKind.ACKNOWLEDGE: "acknowledge",
    ClockKind.FIRST_RESPONSE: "first response to the customer",
    ClockKind.RESOLUTION: "resolution",
    ClockKind.CUSTOMER: "resolution for the customer",
}


class GoalTable(BaseModel):
    """The goals of one severity; a table of the configuration. 0 sets no goal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    calendar: str = Field(default="", description="calendar whose hours count. Empty: all hours")
    acknowledge_s: float = Field(default=0.0, ge=0, le=_LONGEST_S, description="from the opening until it is assigned")
    first_response_s: float = Field(
        default=0.0, ge=0, le=_LONGEST_S, description="from the opening until the first word with the customer"
    )
    resolution_s: float = Field(
        default=0.0, ge=0, le=_LONGEST_S, description="from the opening until all faults are resolved"
    )
    customer_s: float = Field(
        default=0.0, ge=0, le=_LONGEST_S, description="from the first word with the customer until it is closed"
    )

    def goal_s(self, kind: ClockKind) -> float:
        """Return the goal of a clock in seconds; 0 for none."""
        goals = {
            ClockKind.ACKNOWLEDGE: self.acknowledge_s,
            ClockKind.FIRST_RESPONSE: self.first_response_s,
            ClockKind.RESOLUTION: self.resolution_s,
            ClockKind.CUSTOMER: self.customer_s,
        }
        return goals[kind]


class ServiceLevels(BaseModel):
    """The goals by severity; a table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    critical: GoalTable = GoalTable(
        acknowledge_s=15 * _MINUTE_S, first_response_s=_HOUR_S, resolution_s=8 * _HOUR_S, customer_s=8 * _HOUR_S
    )
    high: GoalTable = GoalTable(
        acknowledge_s=_HOUR_S, first_response_s=4 * _HOUR_S, resolution_s=24 * _HOUR_S, customer_s=24 * _HOUR_S
    )
    warning: GoalTable = GoalTable(acknowledge_s=24 * _HOUR_S)

    def goals(self, severity: Severity) -> GoalTable:
        """Return the goals of a severity; a case for information has none."""
        known = {Severity.CRITICAL: self.critical, Severity.HIGH: self.high, Severity.WARNING: self.warning}
        return known.get(severity, GoalTable())


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """One clock of a case. It runs, is paused (neither `running_since` nor `stopped_at`), or has stopped."""

    kind: ClockKind
    calendar: str
    goal_s: float
    started_at: datetime
    spent_s: float = 0.0  # of working time, up to `running_since`
    running_since: datetime | None = None
    due_at: datetime | None = None  # while it runs
    stopped_at: datetime | None = None
    breached_at: datetime | None = None


Clocks = Mapping[ClockKind, Clock]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """A change of a case, as far as clocks are concerned."""

    before: Case | None
    after: Case
    kinds: frozenset[EntryKind]
    now: datetime


def clocks_after(clocks: Clocks, happened: Happened, goals: GoalTable, calendar: Calendar) -> dict[ClockKind, Clock]:
    """Return the clocks of a case after a change; `goals` and their `calendar` are those of its severity now."""
    after, now = happened.after, happened.now
    found = _started(clocks, happened, goals)
    wanted = {kind: _wanted(kind, happened, found[kind]) for kind in found}
    return {
        kind: _adjusted(_moved(found[kind], wanted[kind], calendar, now), goals, calendar, now)
        if after.state not in DONE
        else _moved(found[kind], CaseState.CLOSED, calendar, now)
        for kind in found
    }


def _started(clocks: Clocks, happened: Happened, goals: GoalTable) -> dict[ClockKind, Clock]:
    """Return the clocks with those that begin now."""
    begins: Sequence[ClockKind] = ()
    if happened.before is None:
        begins = (ClockKind.ACKNOWLEDGE, ClockKind.FIRST_RESPONSE, ClockKind.RESOLUTION)
    elif EntryKind.CONTACTED in happened.kinds:
        begins = (ClockKind.CUSTOMER,)
    new = {
        kind: Clock(kind=kind, calendar=goals.calendar, goal_s=goals.goal_s(kind), started_at=happened.now)
        for kind in begins
        if kind not in clocks and goals.goal_s(kind)
    }
    return {**clocks, **new}


def _wanted(kind: ClockKind, happened: Happened, clock: Clock) -> CaseState:
    """Return what a clock shall do, in the words of case states: OPEN runs, PENDING_REMINDER pauses, CLOSED stops."""
    after = happened.after
    is_answered = EntryKind.CONTACTED in happened.kinds or (clock.stopped_at is not None)
    if kind is ClockKind.FIRST_RESPONSE and is_answered:
        return CaseState.CLOSED
    if kind is ClockKind.ACKNOWLEDGE and (after.owner or is_answered):
        return CaseState.CLOSED
    if kind is ClockKind.RESOLUTION and after.state not in WORKING:
        return CaseState.CLOSED
    if after.state is CaseState.PENDING_REMINDER and kind in (ClockKind.RESOLUTION, ClockKind.CUSTOMER):
        return CaseState.PENDING_REMINDER
    return CaseState.OPEN


def _moved(clock: Clock, wanted: CaseState, calendar: Calendar, now: datetime) -> Clock:
    if wanted is CaseState.OPEN:
        return _running(clock, calendar, now)
    halted = _halted(clock, calendar, now)
    if wanted is CaseState.PENDING_REMINDER or halted.stopped_at:
        return halted
    return replace(halted, stopped_at=now)


def _running(clock: Clock, calendar: Calendar, now: datetime) -> Clock:
    if clock.running_since:
        return clock
    due_at = calendar.after(now, max(0.0, clock.goal_s - clock.spent_s))
    return replace(clock, running_since=now, due_at=due_at, stopped_at=None)


def _halted(clock: Clock, calendar: Calendar, now: datetime) -> Clock:
    if clock.running_since is None:
        return clock
    spent_s = clock.spent_s + calendar.working_s(clock.running_since, now)
    missed_at = clock.due_at if clock.due_at and clock.due_at < now else None  # and time has not passed since
    breached_at = clock.breached_at or missed_at
    return replace(clock, spent_s=spent_s, running_since=None, due_at=None, breached_at=breached_at)


def _adjusted(clock: Clock, goals: GoalTable, calendar: Calendar, now: datetime) -> Clock:
    """Give a clock that has not stopped the goal of the case's present severity; what was spent stays spent."""
    goal_s = goals.goal_s(clock.kind)
    if clock.stopped_at or not goal_s or (goal_s, goals.calendar) == (clock.goal_s, clock.calendar):
        return clock
    halted = replace(_halted(clock, calendar, now), goal_s=goal_s, calendar=goals.calendar)
    return _running(halted, calendar, now) if clock.running_since else halted


def breached(clock: Clock, now: datetime) -> tuple[Clock, TimelineEntry | None]:
    """Let time pass: a goal that is missed is noted once."""
    if clock.breached_at or clock.due_at is None or now < clock.due_at:
        return clock, None
    hours = f" of working time ({clock.calendar})" if clock.calendar else ""
    text = f"Service level missed: {NAMES[clock.kind]} within {duration(clock.goal_s)}{hours}."
    entry = TimelineEntry(EntryKind.BREACHED, text, {"clock": clock.kind, "due": clock.due_at.isoformat()})
    return replace(clock, breached_at=clock.due_at), entry
