"""A proposal shows what other thresholds would have done, by the rules that decide today."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cases.outcomes import Label
from cloud.cases.rules import FaultRules, Rules
from cloud.cases.sensitivity import PastEpisode, Sensitivity, changed_rules, effect, fires_at
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.records import Phase
from tests.builders import NOON, a_finding

RULES = Rules()


def past(
    *reports: tuple[float, float], cleared_s: float | None = None, label: Label | None = None, number: int = 1,
    severity: Severity = Severity.WARNING,
) -> PastEpisode:  # fmt: skip
    """An episode that reported these confidences at these seconds after noon."""
    findings = [
        a_finding(Phase.OPEN if place == 0 else Phase.UPDATE, at, severity=severity).model_copy(
            update={"confidence": confidence}
        )
        for place, (at, confidence) in enumerate(reports)
    ]
    if cleared_s is not None:
        findings.append(a_finding(Phase.CLEAR, cleared_s, since_s=0))
    return PastEpisode(
        findings=tuple((finding, finding.at.wall) for finding in findings), case_number=number, label=label
    )


def proposed(open_above: float = 0.0, debounce_s: float = 5.0) -> Rules:
    return changed_rules(RULES, [Sensitivity(fault="disk.filling", open_above=open_above, debounce_s=debounce_s)])


@pytest.mark.parametrize(
    ("episode", "rules", "after_s"),
    [
        (past((0, 0.9)), RULES, 5),
        (past((0, 0.9), cleared_s=3), RULES, None),
        (past((0, 0.9), cleared_s=60), proposed(debounce_s=120), None),
        (past((0, 0.9), cleared_s=600), proposed(debounce_s=120), 120),
        (past((0, 0.3), (60, 0.8)), proposed(open_above=0.5), 60),
        (past((0, 0.3), (60, 0.4)), proposed(open_above=0.5), None),
        (past((0, 0.3), severity=Severity.CRITICAL), proposed(open_above=0.5, debounce_s=120), 0),
        (past((0, 0.9), severity=Severity.INFO), RULES, None),
    ],
)
def test_an_episode_fires_when_its_rules_are_met(episode: PastEpisode, rules: Rules, after_s: float | None) -> None:
    assert fires_at(episode, rules) == (None if after_s is None else NOON + timedelta(seconds=after_s))


def test_the_effect_counts_what_is_lost_avoided_added_and_delayed() -> None:
    episodes = [
        past((0, 0.9), label=Label.TRUE_FAULT, number=1),
        past((0, 0.4), label=Label.TRUE_FAULT, number=2),
        past((0, 0.4), label=Label.FALSE_ALARM, number=3),
        past((0, 0.4), label=Label.EXPECTED, number=4),
        past((0, 0.4), number=5),
        past((0, 0.3), (100, 0.9), label=Label.TRUE_FAULT, number=6),
    ]
    found = effect(episodes, RULES, proposed(open_above=0.5))
    assert (found.episodes, found.opened_before, found.opened_after) == (6, 6, 2)
    assert (found.true_lost, found.false_avoided, found.other_avoided) == (1, 2, 1)
    assert found.lost_cases == (2,)
    assert (found.delayed, found.delay_median_s) == (1, 95.0)
    back = effect(episodes, proposed(open_above=0.5), RULES)
    assert (back.added, back.opened_after) == (4, 6)


def test_a_change_keeps_the_other_thresholds_of_the_fault_and_of_other_faults() -> None:
    rules = Rules(open_above=0.6, resolve_below=0.5, faults={"disk.filling": FaultRules(hold_down_s=60.0)})
    after = changed_rules(rules, [Sensitivity(fault="disk.filling", open_above=0.3, debounce_s=30.0)])
    own = after.thresholds("disk.filling")
    assert (own.open_above, own.debounce_s, own.hold_down_s, own.resolve_below) == (0.3, 30.0, 60.0, 0.3)
    assert after.thresholds("memory.leak") == rules.thresholds("memory.leak")


reports = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1)), min_size=1, max_size=6).map(
    lambda pairs: [(float(10 * place), confidence) for place, (_, confidence) in enumerate(pairs)]
)


@given(reports, st.floats(0, 1), st.floats(0, 1))
def test_less_sensitive_never_opens_sooner(report: list[tuple[float, float]], one: float, other: float) -> None:
    low, high = sorted((one, other))
    episode = past(*report)
    sooner, later = fires_at(episode, proposed(open_above=low)), fires_at(episode, proposed(open_above=high))
    assert later is None or (sooner is not None and sooner <= later)
