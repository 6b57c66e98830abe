"""Two thresholds of confidence, debounce and hold-down can differ by fault; critical ones are exempt."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from cloud.cases import episodes
from cloud.cases.episodes import Change, Episode, EpisodeState, Event, Rules
from cloud.cases.rules import FaultRules
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Finding, Phase
from tests.builders import NOON, a_finding

RULES = Rules(
    open_above=0.5,
    resolve_below=0.3,
    faults={"memory.leak": FaultRules(debounce_s=600.0, hold_down_s=60.0, open_above=0.0, resolve_below=0.0)},
)


def sure(confidence: float, after_s: float = 10.0, *, severity: Severity = Severity.WARNING) -> Finding:
    finding = a_finding(Phase.UPDATE, after_s, since_s=0, severity=severity)
    return finding.model_copy(update={"confidence": confidence})


def applied(*findings: Finding, rules: Rules = RULES) -> tuple[Episode, list[Change]]:
    changes: list[Change] = []
    episode: Episode | None = None
    for finding in findings:
        event = Event(at=finding.at.wall, now=finding.at.wall)
        if episode is None:
            episode, decisions = episodes.on_first_finding(finding, event, rules)
        else:
            episode, decisions = episodes.on_finding(episode, finding, event, rules)
        changes += [decision.change for decision in decisions]
    assert episode is not None
    return episode, changes


def test_a_finding_below_the_opening_threshold_opens_no_case_until_it_is_surer() -> None:
    assert applied(sure(0.4), sure(0.49, 20))[0].state is EpisodeState.PENDING
    assert applied(sure(0.4), sure(0.5, 20))[0].state is EpisodeState.FIRING
    waiting, _ = applied(sure(0.4))
    later = Event(at=NOON + timedelta(days=1), now=NOON + timedelta(days=1))
    assert episodes.on_time_passed(waiting, later, RULES)[0].state is EpisodeState.PENDING


def test_between_the_thresholds_nothing_changes_in_either_direction() -> None:
    episode, changes = applied(sure(0.6), sure(0.4, 20))
    assert (episode.cleared_at, changes) == (None, [Change.OPENED, Change.FIRED])
    episode, changes = applied(sure(0.6), sure(0.2, 20), sure(0.4, 30))
    assert episode.cleared_at == NOON + timedelta(seconds=20)
    assert changes == [Change.OPENED, Change.FIRED, Change.CLEARED]
    assert applied(sure(0.6), sure(0.2, 20), sure(0.5, 30))[1][-1] is Change.FLAPPED


def test_what_falls_below_the_resolving_threshold_says_so() -> None:
    finding = sure(0.2, 20)
    firing, _ = applied(sure(0.6))
    _, (decision,) = episodes.on_finding(firing, finding, Event(at=finding.at.wall, now=finding.at.wall), RULES)
    assert decision.reason.startswith("its confidence of 20% is below 30%; resolved after 5 min")


def test_a_critical_finding_is_exempt_from_the_thresholds_and_the_debounce() -> None:
    critical = sure(0.1, 0, severity=Severity.CRITICAL)
    assert applied(critical)[0].state is EpisodeState.FIRING
    assert applied(critical, sure(0.1, 20, severity=Severity.CRITICAL))[0].cleared_at is None


def test_a_fault_has_its_own_debounce_and_hold_down() -> None:
    own = RULES.thresholds("memory.leak")
    assert (own.debounce_s, own.hold_down_s, own.open_above) == (600.0, 60.0, 0.0)
    assert RULES.thresholds("disk.filling").debounce_s == Rules().debounce_s
    leak = a_finding(Phase.OPEN, 599, since_s=0, fault="memory.leak")
    assert applied(leak)[0].state is EpisodeState.PENDING
    assert applied(leak, a_finding(Phase.UPDATE, 600, since_s=0, fault="memory.leak"))[0].state is EpisodeState.FIRING


def test_a_resolving_threshold_above_the_opening_one_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"resolve_below is above open_above for fd\.leak"):
        Rules(faults={"fd.leak": FaultRules(resolve_below=0.5)})
