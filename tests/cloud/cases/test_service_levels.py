"""The rules of clocks agree with a plain count of the seconds in which they should run, whatever staff do."""

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloud.cases.calendars import ALWAYS
from cloud.cases.cases import DONE, WORKING, Case, CaseState, EntryKind
from cloud.cases.service_levels import (
    Clock,
    ClockKind,
    GoalTable,
    Happened,
    ServiceLevels,
    breached,
    clocks_after,
)
from edge_agent.protocol.faults import Severity
from tests.builders import DEVICE, NOON

HOUR_S = 3600.0
GOALS = GoalTable(acknowledge_s=HOUR_S, first_response_s=HOUR_S, resolution_s=HOUR_S, customer_s=HOUR_S)
PAUSED = CaseState.PENDING_REMINDER


def a_case(state: CaseState = CaseState.NEW, owner: str | None = None) -> Case:
    return Case(
        number=1,
        device=DEVICE,
        title="Disk full",
        state=state,
        severity=Severity.HIGH,
        severity_reason="",
        opened_at=NOON,
        opened_reason="",
        updated_at=NOON,
        owner=owner,
    )


steps = st.lists(
    st.tuples(
        st.integers(1, 2000),
        st.sampled_from(CaseState),
        st.sampled_from([None, "alice"]),
        st.booleans(),
    ),
    max_size=12,
)


def follow(
    steps: list[tuple[int, CaseState, str | None, bool]],
) -> tuple[dict[ClockKind, Clock], dict[ClockKind, float]]:
    """Apply steps to a case; return its clocks, and how long each should have run."""
    case, now = a_case(), NOON
    happened = Happened(before=None, after=case, kinds=frozenset(), now=now)
    clocks = clocks_after({}, happened, GOALS, ALWAYS)
    spent = dict.fromkeys(ClockKind, 0.0)
    stopped: set[ClockKind] = set()
    contacted = False
    for seconds, state, owner, contacts in steps:
        if case.state not in DONE:
            spent[ClockKind.ACKNOWLEDGE] += seconds * (ClockKind.ACKNOWLEDGE not in stopped)
            spent[ClockKind.FIRST_RESPONSE] += seconds * (ClockKind.FIRST_RESPONSE not in stopped)
            spent[ClockKind.RESOLUTION] += seconds * (case.state in WORKING and case.state is not PAUSED)
            spent[ClockKind.CUSTOMER] += seconds * (contacted and case.state is not PAUSED)
        now += timedelta(seconds=seconds)
        after = replace(case, state=state, owner=owner)
        kinds = frozenset({EntryKind.CONTACTED}) if contacts else frozenset()
        clocks = clocks_after(clocks, Happened(before=case, after=after, kinds=kinds, now=now), GOALS, ALWAYS)
        contacted |= contacts
        stopped |= {ClockKind.ACKNOWLEDGE} if owner or contacts or state in DONE else set()
        stopped |= {ClockKind.FIRST_RESPONSE} if contacts or state in DONE else set()
        case = after
    return clocks, spent


@given(steps)
def test_each_clock_has_run_for_as_long_as_it_should(steps: list[tuple[int, CaseState, str | None, bool]]) -> None:
    clocks, spent = follow(steps)
    end = NOON + timedelta(seconds=sum(step[0] for step in steps))
    for kind, clock in clocks.items():
        running_s = (end - clock.running_since).total_seconds() if clock.running_since else 0.0
        assert clock.spent_s + running_s == spent[kind], kind
        assert (clock.due_at is None) == (clock.running_since is None)
        if clock.due_at:
            assert clock.due_at == end + timedelta(seconds=max(HOUR_S - spent[kind], -running_s))


@given(steps, st.integers(0, 10_000))
def test_a_goal_is_missed_once_and_only_by_a_clock_that_ran_for_long_enough(
    steps: list[tuple[int, CaseState, str | None, bool]], later_s: int
) -> None:
    clocks, spent = follow(steps)
    now: datetime = NOON + timedelta(seconds=sum(step[0] for step in steps) + later_s)
    for kind, clock in clocks.items():
        after, entry = breached(clock, now)
        ran_s = spent[kind] + (later_s if clock.running_since else 0)
        if entry:
            assert ran_s >= HOUR_S
            assert breached(after, now + timedelta(days=1)) == (after, None)
        if after.breached_at is None:
            assert ran_s < HOUR_S or not clock.running_since


def test_the_goals_of_a_severity_that_is_not_given_are_the_defaults_and_information_has_none() -> None:
    levels = ServiceLevels(high=GOALS)
    assert levels.goals(Severity.CRITICAL).acknowledge_s == 900
    assert levels.goals(Severity.HIGH) is GOALS
    assert levels.goals(Severity.INFO) == GoalTable()
