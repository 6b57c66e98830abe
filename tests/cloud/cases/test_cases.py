"""Where an episode goes, how urgent a case is, and what a person may do with it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from cloud.cases import cases
from cloud.cases.cases import Case, CaseState, EntryKind, Label, Refused
from cloud.cases.episodes import Episode, EpisodeState
from cloud.cases.outcomes import Advice, Cause, Noticed, Outcome, outcome_of
from edge_agent.protocol.faults import Severity
from tests.builders import DEVICE, NOON

LATER = NOON + timedelta(hours=1)


def an_episode(
    severity: Severity = Severity.WARNING, *, fault: str = "disk.filling", impact_h: float | None = None
) -> Episode:
    impact_at = None if impact_h is None else NOON + timedelta(hours=impact_h)
    return Episode(
        fault=fault,
        component="/data",
        state=EpisodeState.FIRING,
        severity=severity,
        severity_reason=f"{severity}: because",
        first_at=NOON,
        impact_low_at=impact_at,
        impact_at=impact_at,
        impact_high_at=impact_at,
    )


def a_case(state: CaseState = CaseState.NEW, *, owner: str | None = None, label: Label | None = None) -> Case:
    case, _ = cases.opened(DEVICE, an_episode(), "It has lasted 5 s.", None, NOON)
    return replace(case, number=7, state=state, owner=owner, label=label)


def test_a_new_case_states_the_fault_and_why_it_was_opened() -> None:
    case, entry = cases.opened(DEVICE, an_episode(), "Critical findings do not wait.", None, NOON)
    assert case.title == "File system /data of pump-07 is filling up"
    assert case.opened_reason == "Critical findings do not wait."
    assert (case.state, entry.kind) == (CaseState.NEW, EntryKind.OPENED)


def test_a_fault_that_nobody_knows_yet_has_its_code_as_title() -> None:
    case, _ = cases.opened(DEVICE, an_episode(fault="flux.{x}"), "It has lasted 5 s.", None, NOON)
    assert case.title == "flux.{x} on /data of pump-07"


@pytest.mark.parametrize("state", [CaseState.NEW, CaseState.OPEN, CaseState.PENDING_CLOSE])
def test_what_comes_back_goes_on_in_its_own_case(state: CaseState) -> None:
    own, current = a_case(state), replace(a_case(), number=8)
    assert cases.choose_case(own, current) is own


@pytest.mark.parametrize("label", [Label.TRUE_FAULT, Label.NO_FAULT_FOUND])
def test_what_comes_back_after_a_cure_reopens_its_closed_case(label: Label) -> None:
    own = a_case(CaseState.CLOSED, label=label)
    assert cases.choose_case(own, None) is own
    case, entry = cases.attach_episode(own, an_episode(), "it has lasted 5 s", LATER)
    assert (case.state, case.label, case.closed_at) == (CaseState.NEW, None, None)
    assert (entry.kind, "recurred" in entry.text) == (EntryKind.REOPENED, True)


@pytest.mark.parametrize("label", [Label.FALSE_ALARM, Label.EXPECTED, Label.DUPLICATE])
def test_what_staff_called_no_fault_gets_a_verdict_of_its_own(label: Label) -> None:
    own = a_case(CaseState.CLOSED, label=label)
    assert cases.choose_case(own, None) is None
    case, _ = cases.opened(DEVICE, an_episode(), "It has lasted 5 s.", own, LATER)
    assert f"Case 7 had the same fault and was closed as {label.replace('_', ' ')}" in case.opened_reason


def test_another_fault_of_the_device_joins_the_case_that_is_being_worked_on() -> None:
    current = a_case(CaseState.OPEN, owner="alice")
    assert cases.choose_case(None, current) is current
    case, entry = cases.attach_episode(current, an_episode(fault="memory.leak"), "it has lasted 5 s", LATER)
    assert (case.state, entry.kind) == (CaseState.OPEN, EntryKind.FINDING)
    assert "Memory of pump-07 is running out" in entry.text


def test_a_critical_one_breaks_out_and_wakes_a_case_that_was_put_off() -> None:
    current = a_case(CaseState.PENDING_REMINDER, owner="alice")
    case, entry = cases.attach_episode(
        current, an_episode(Severity.CRITICAL), "critical findings skip the debounce", LATER
    )
    assert (case.state, entry.kind) == (CaseState.OPEN, EntryKind.BREAKOUT)


def test_a_case_is_as_urgent_as_its_worst_and_expects_its_earliest() -> None:
    firing = [an_episode(Severity.HIGH, impact_h=9), an_episode(Severity.WARNING, impact_h=3)]
    case, entries = cases.recompute_severity(a_case(), firing, LATER)
    assert (case.severity, case.impact_at) == (Severity.HIGH, NOON + timedelta(hours=3))
    assert [entry.text for entry in entries] == ["Severity is now high: because."]


def test_an_episode_in_its_hold_down_threatens_nothing() -> None:
    over = replace(an_episode(impact_h=1), cleared_at=NOON)
    case, _ = cases.recompute_severity(a_case(), [over, an_episode(impact_h=8)], LATER)
    assert case.impact_at == NOON + timedelta(hours=8)


def test_weighing_what_has_not_changed_changes_nothing() -> None:
    case, _ = cases.recompute_severity(a_case(), [an_episode(impact_h=8)], LATER)
    assert cases.recompute_severity(case, [an_episode(impact_h=8)], LATER + timedelta(hours=1)) == (case, ())


def test_a_case_with_nothing_wrong_waits_for_its_label_and_is_never_closed_by_itself() -> None:
    case, entries = cases.recompute_severity(a_case(CaseState.OPEN, owner="alice"), [], LATER)
    assert (case.state, case.owner, case.impact_at) == (CaseState.PENDING_CLOSE, "alice", None)
    assert [entry.kind for entry in entries] == [EntryKind.PENDING_CLOSE]
    assert cases.recompute_severity(case, [], LATER) == (case, ())


def test_a_closed_case_stays_closed_while_its_fault_goes_on_unless_that_becomes_critical() -> None:
    closed = a_case(CaseState.CLOSED, owner="alice", label=Label.EXPECTED)
    assert cases.recompute_severity(closed, [an_episode(Severity.HIGH)], LATER) == (closed, ())
    case, entries = cases.recompute_severity(closed, [an_episode(Severity.CRITICAL)], LATER)
    assert (case.state, case.severity) == (CaseState.OPEN, Severity.CRITICAL)
    assert [entry.kind for entry in entries] == [EntryKind.SEVERITY, EntryKind.REOPENED]


def test_a_case_is_taken_by_one_person_and_put_back_by_anybody() -> None:
    case, entries = cases.taken(a_case(), "alice", LATER)
    assert (case.owner, case.state, entries[0].text) == ("alice", CaseState.OPEN, "Assigned to alice.")
    assert cases.taken(case, "alice", LATER) == (case, ())
    with pytest.raises(Refused, match=r"Case 7 is assigned to alice\. Unassign it first\."):
        cases.taken(case, "bob", LATER)
    case, entries = cases.released(case, "bob", LATER)
    assert (case.owner, case.state, entries[0].text) == (None, CaseState.NEW, "Unassigned by bob (was alice).")
    with pytest.raises(Refused, match="Case 7 is not assigned"):
        cases.released(case, "bob", LATER)


def test_closing_records_a_resolution_and_reopening_records_a_reason_and_removes_it() -> None:
    case, entries = cases.closed(
        a_case(owner="alice"), "alice", Outcome(label=Label.TRUE_FAULT, note=" card replaced "), LATER
    )
    assert (case.state, case.label, case.closed_at) == (CaseState.CLOSED, Label.TRUE_FAULT, LATER)
    assert entries[0].text == "Closed by alice as true fault. card replaced"
    with pytest.raises(Refused, match="Reopen it first"):
        cases.closed(case, "bob", Outcome(label=Label.EXPECTED), LATER)
    with pytest.raises(Refused, match="Enter a reason"):
        cases.reopened(case, "bob", "  ", LATER)
    case, _ = cases.reopened(case, "bob", "it is back", LATER)
    assert (case.state, case.label, case.closed_at) == (CaseState.OPEN, None, None)
    with pytest.raises(Refused, match="already open"):
        cases.reopened(case, "bob", "again", LATER)


def test_a_note_needs_words_and_may_follow_the_closing() -> None:
    case, entries = cases.noted(a_case(CaseState.CLOSED), "alice", " the customer called ", LATER)
    assert (case.state, entries[0].text) == (CaseState.CLOSED, "the customer called")
    with pytest.raises(Refused, match="empty"):
        cases.noted(case, "alice", "\n", LATER)


def test_what_went_on_in_another_case_is_not_touched_here() -> None:
    merged = a_case(CaseState.MERGED)
    with pytest.raises(Refused, match="Case 7 is merged"):
        cases.taken(merged, "bob", LATER)
    with pytest.raises(Refused, match="merged into another case"):
        cases.reopened(merged, "bob", "it is back", LATER)


def test_the_timeline_states_the_whole_outcome_and_it_can_be_read_back() -> None:
    outcome = Outcome(
        label=Label.TRUE_FAULT,
        cause=Cause.HARDWARE,
        noticed=Noticed.NO,
        advice=Advice.WORKED,
        impact_at=NOON,
        note="card replaced",
    )
    _, (entry,) = cases.closed(a_case(), "alice", outcome, LATER)
    assert entry.text == (
        "Closed by alice as true fault. Cause: hardware. The customer had not noticed before. "
        "Impact at 2026-07-01 12:00 UTC. The advice worked. card replaced"
    )
    assert outcome_of(entry.detail) == outcome
    assert outcome_of({"label": "expected", "note": ""}) == Outcome(label=Label.EXPECTED)


def test_an_impact_in_the_future_is_refused() -> None:
    with pytest.raises(Refused, match="is in the future"):
        cases.closed(a_case(), "alice", Outcome(label=Label.TRUE_FAULT, impact_at=LATER + timedelta(hours=1)), LATER)
