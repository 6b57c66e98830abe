"""An episode opens, fires, flaps, resolves and gets more urgent, each time with a reason that a person understands."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cases.episodes import (
    Change,
    Decision,
    Episode,
    EpisodeState,
    Event,
    Rules,
    dated,
    on_finding,
    on_first_finding,
    on_time_passed,
)
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Finding, Phase
from tests.builders import NOON, a_finding, an_impact, an_instant

RULES = Rules()
MIN, HOUR = 60.0, 3600.0


def noon(after_s: float) -> datetime:
    return NOON + timedelta(seconds=after_s)


@dataclass
class Story:
    """Tells one episode, live: what is said arrives when it is said."""

    episode: Episode | None = None
    decisions: list[Decision] = field(default_factory=list)

    def report(self, finding: Finding) -> "Story":
        event = Event(at=finding.at.wall, now=finding.at.wall)
        transition = (
            on_finding(self.episode, finding, event, RULES) if self.episode else on_first_finding(finding, event, RULES)
        )
        return self._keep(transition)

    def wait_until(self, after_s: float) -> "Story":
        assert self.episode is not None
        return self._keep(on_time_passed(self.episode, Event(at=noon(after_s), now=noon(after_s)), RULES))

    def _keep(self, transition: tuple[Episode, tuple[Decision, ...]]) -> "Story":
        self.episode, decisions = transition
        self.decisions += decisions
        return self

    @property
    def now(self) -> Episode:
        assert self.episode is not None
        return self.episode

    @property
    def changes(self) -> list[Change]:
        return [decision.change for decision in self.decisions]


def test_a_finding_waits_out_the_debounce_before_it_fires() -> None:
    story = Story().report(a_finding())
    assert story.now.state is EpisodeState.PENDING
    assert story.wait_until(4).now.state is EpisodeState.PENDING
    assert story.wait_until(5).now.state is EpisodeState.FIRING
    assert story.decisions[-1].reason == "lasted 5 s (the full 5 s debounce)"
    assert story.now.fired_at == noon(5)


def test_a_flicker_ends_without_bothering_anybody() -> None:
    story = Story().report(a_finding()).report(a_finding(Phase.CLEAR, 2, since_s=0)).wait_until(5).wait_until(302)
    assert story.now.state is EpisodeState.RESOLVED
    assert Change.FIRED not in story.changes


def test_critical_fires_at_once() -> None:
    story = Story().report(a_finding(severity=Severity.CRITICAL))
    assert story.now.state is EpisodeState.FIRING
    assert story.decisions[-1].reason == "critical findings skip the debounce"


def test_the_reported_duration_counts_although_the_clock_is_not_set() -> None:
    unset = an_instant(60, synced=False)
    event = Event(at=dated(unset, noon(0)), now=noon(0))
    episode, _ = on_first_finding(a_finding(at=unset, since_s=0), event, RULES)
    assert episode.state is EpisodeState.FIRING


def test_information_never_fires_until_it_becomes_more_than_that() -> None:
    story = Story().report(a_finding(severity=Severity.INFO)).wait_until(HOUR)
    assert story.now.state is EpisodeState.PENDING
    assert story.report(a_finding(Phase.UPDATE, HOUR + 1, severity=Severity.HIGH)).now.state is EpisodeState.FIRING


def test_what_stays_away_for_the_hold_down_is_resolved() -> None:
    story = Story().report(a_finding()).wait_until(5).report(a_finding(Phase.CLEAR, 100, since_s=0))
    assert story.wait_until(399).now.state is EpisodeState.FIRING
    assert story.wait_until(400).now.state is EpisodeState.RESOLVED
    assert story.now.resolved_at == noon(400)
    assert story.decisions[-1].reason == "no recurrence for 5 min"


def test_what_comes_back_within_the_hold_down_is_the_same_episode_and_a_flap() -> None:
    story = (
        Story()
        .report(a_finding())
        .wait_until(5)
        .report(a_finding(Phase.CLEAR, 100, since_s=0))
        .report(a_finding(after_s=160))
    )
    assert (story.now.flaps, story.now.cleared_at, story.now.findings) == (1, None, 2)
    assert story.decisions[-1].reason == "recurred 60 s after it cleared, within the 5 min hold-down"
    assert story.wait_until(HOUR).now.state is EpisodeState.FIRING


def test_what_flaps_for_longer_than_the_debounce_fires_although_no_part_of_it_was_that_long() -> None:
    story = Story().report(a_finding()).report(a_finding(Phase.CLEAR, 2, since_s=0)).report(a_finding(after_s=6))
    assert story.now.state is EpisodeState.FIRING


@pytest.mark.parametrize(
    ("likely_s", "severity"),
    [
        (14 * MIN, Severity.CRITICAL),
        (3 * HOUR, Severity.HIGH),
        (23 * HOUR, Severity.WARNING),
        (48 * HOUR, Severity.WARNING),
    ],
)
def test_the_time_to_impact_raises_the_reported_severity(likely_s: float, severity: Severity) -> None:
    story = Story().report(a_finding(impact=an_impact(likely_s, low_s=likely_s)))
    assert story.now.severity is severity


def test_a_note_of_the_device_stays_one_whatever_its_impact_until_the_device_reports_more() -> None:
    note = a_finding(severity=Severity.INFO, impact=an_impact(10 * MIN))
    story = Story().report(note).wait_until(9 * MIN)
    assert (story.now.severity, story.now.state) == (Severity.INFO, EpisodeState.PENDING)
    story.report(a_finding(Phase.UPDATE, 570, impact=an_impact(30)))
    assert (story.now.severity, story.now.state) == (Severity.CRITICAL, EpisodeState.FIRING)


def test_the_time_to_impact_never_lowers_the_reported_severity() -> None:
    story = Story().report(a_finding(severity=Severity.CRITICAL, impact=an_impact(90 * HOUR)))
    assert story.now.severity_reason == "critical: severity set by the device"


def test_the_reason_names_the_expected_fault_its_time_and_the_limit() -> None:
    story = Story().report(a_finding(impact=an_impact(9 * MIN)))
    assert story.now.severity_reason == (
        "critical: the device predicts that writes fail in 9 min; less than 15 min is critical"
    )


def test_the_earliest_possible_impact_decides_and_is_named_in_the_reason() -> None:
    story = Story().report(a_finding(impact=an_impact(30 * MIN, low_s=12 * MIN)))
    assert story.now.severity_reason == (
        "critical: the device predicts that writes fail in 30 min, possibly in 12 min; less than 15 min is critical"
    )


def test_an_impact_that_comes_nearer_raises_the_severity_although_the_device_is_silent() -> None:
    story = Story().report(a_finding(impact=an_impact(5 * HOUR, low_s=5 * HOUR))).wait_until(5)
    assert story.now.severity is Severity.WARNING
    assert story.wait_until(1 * HOUR + 1).now.severity is Severity.HIGH
    assert story.wait_until(4 * HOUR + 46 * MIN).now.severity is Severity.CRITICAL
    assert story.wait_until(9 * HOUR).changes.count(Change.RAISED) == 2


def test_a_device_that_was_silent_past_the_impact_is_critical_by_now() -> None:
    story = Story().report(a_finding(impact=an_impact(5 * HOUR))).wait_until(9 * HOUR)
    assert story.now.severity_reason == (
        "critical: the device predicts that writes fail now; less than 15 min is critical"
    )


def test_an_impact_that_recedes_moves_the_countdown_and_keeps_the_severity() -> None:
    story = (
        Story()
        .report(a_finding(impact=an_impact(10 * MIN)))
        .report(a_finding(Phase.UPDATE, 60, impact=an_impact(9 * HOUR)))
    )
    assert story.now.severity is Severity.CRITICAL
    assert story.now.impact_at == noon(60 + 9 * HOUR)


def test_an_impact_beyond_every_calendar_is_no_error() -> None:
    story = Story().report(a_finding(impact=an_impact(1e300)))
    assert story.now.impact_at == NOON + timedelta(days=3650)


def test_an_unknown_fault_is_evaluated_like_any_other() -> None:
    story = Story().report(a_finding(fault="flux.capacitor", impact=an_impact(9 * MIN)))
    assert story.now.severity_reason.startswith("critical: the device predicts that the customer is affected in 9 min")


def test_a_device_is_dated_by_its_own_clock_only_if_that_was_set_and_never_into_the_future() -> None:
    received_at = noon(10)
    assert dated(an_instant(3), received_at) == noon(3)
    assert dated(an_instant(3, synced=False), received_at) == received_at
    assert dated(an_instant(3, wall=noon(HOUR)), received_at) == received_at
    with pytest.raises(ValueError, match="no time zone"):
        dated(an_instant(wall=NOON.replace(tzinfo=None)), received_at)


PHASES = st.lists(st.tuples(st.sampled_from(Phase), st.floats(0.5, 400), st.booleans()), max_size=30)


@given(PHASES)
def test_an_episode_keeps_its_invariants_for_any_findings_at_any_times(
    events: list[tuple[Phase, float, bool]],
) -> None:
    story, after_s = Story().report(a_finding()), 0.0
    for phase, wait_s, looks in events:
        after_s += wait_s
        if looks:
            story.wait_until(after_s)
        if story.now.state is EpisodeState.RESOLVED:
            break
        before = story.now.severity
        story.report(a_finding(phase, after_s, since_s=0, impact=an_impact(HOUR) if phase is Phase.UPDATE else None))
        assert story.now.severity.rank <= before.rank
        assert story.now.flaps <= story.now.findings
        assert (story.now.fired_at is not None) == (story.now.state is EpisodeState.FIRING)
    assert story.changes.count(Change.FIRED) <= 1
    assert all(decision.reason and "None" not in decision.reason for decision in story.decisions)
