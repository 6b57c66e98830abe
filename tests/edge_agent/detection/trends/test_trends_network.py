"""Trends with a network: its probability is the confidence, and decides with the time left; expected is known."""

import json
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.detection.network import Array
from edge_agent.detection.trends import Expected, Trends
from edge_agent.detection.trends.persistence import NO_HISTORY, with_history
from edge_agent.detection.trends.persistence_features import FEATURES
from edge_agent.detection.trends.series_past import DAY_S
from edge_agent.detection.verdicts import Verdict
from edge_agent.protocol.faults import Severity
from edge_agent.protocol.metrics import series
from tests.builders import NOON, an_instant

MIB = 2.0**20
FREE = series("system.filesystem.usage", system__filesystem__mountpoint="/data", system__filesystem__state="free")
LIKELY, UNLIKELY, BROKEN = 3.0, -6.0, float("nan")


class OneAnswer:
    """Stands in for a network: the same logit for everything, and the features that it was asked."""

    name = "answer-1"
    features = FEATURES

    def __init__(self, logit: float) -> None:
        self.logit = logit
        self.asked: list[Array] = []

    def run(self, values: Array) -> Array:
        self.asked.extend(values)
        return np.full((len(values), 1), self.logit)


def fills(t: float) -> float:
    """A disk that is full after 3 h."""
    return 10_800 * MIB - t * MIB


def run(
    trends: Trends, curve: Callable[[float], float], until_s: int, period_s: float = 10.0, begin_s: float = 0.0
) -> list[tuple[float, Verdict]]:
    """Feed a curve of free space; return every verdict with its time."""
    found: list[tuple[float, Verdict]] = []
    for step in range(int(until_s / period_s)):
        t = begin_s + step * period_s
        found += [(t, verdict) for verdict in trends.step({FREE: max(0.0, curve(t))}, an_instant(DAY_S + t))]
    return found


def some_trends(logit: float | None) -> Trends:
    """After a day without a change."""
    trends = Trends(10.0, 72 * 3600, None if logit is None else OneAnswer(logit))
    for second in range(0, int(DAY_S), 100):
        trends.step({FREE: fills(0)}, an_instant(second))
    return trends


@pytest.mark.parametrize(("logit", "severity"), [(LIKELY, None), (UNLIKELY, Severity.INFO)])
def test_the_probability_is_the_confidence_and_decides_between_case_and_note(
    logit: float, severity: Severity | None
) -> None:
    found = run(some_trends(logit), fills, 7000)
    assert found
    probability = pytest.approx(1 / (1 + np.exp(-logit)))
    assert all(verdict.confidence == probability for _, verdict in found)
    assert {verdict.severity for _, verdict in found} == {severity}
    assert {verdict.network for _, verdict in found} == {"answer-1"}


def test_on_a_new_device_the_network_rules_nothing_out() -> None:
    trends = Trends(10.0, 72 * 3600, OneAnswer(UNLIKELY))
    found = [trends.step({FREE: fills(second)}, an_instant(second)) for second in range(0, 7200, 10)]
    first = next(verdicts[0] for verdicts in found if verdicts)
    assert 0.25 < first.confidence < 0.3
    late = found[-1][0]
    assert late.confidence < first.confidence


@given(st.floats(0, 1), st.floats(0, 14 * DAY_S))
def test_a_probability_counts_in_full_after_a_day_of_history(probability: float, known_s: float) -> None:
    counted = with_history(probability, known_s)
    assert min(probability, NO_HISTORY) - 1e-9 <= counted <= max(probability, NO_HISTORY) + 1e-9
    assert with_history(probability, 0.0) == NO_HISTORY
    if known_s >= DAY_S:
        assert counted == probability


def test_a_trend_that_is_neither_likely_nor_unlikely_becomes_a_case_when_little_time_is_left() -> None:
    found = run(some_trends(-0.6), fills, 10_700)  # 35 %
    severities = [verdict.severity for _, verdict in found]
    assert severities[0] is Severity.INFO
    assert severities[-1] is None
    opened = next(verdict for _, verdict in found if verdict.severity is None)
    assert opened.impact is not None
    assert 300 < opened.impact.likely_s < 3600


@pytest.mark.parametrize("logit", [None, BROKEN])
def test_without_a_usable_network_a_trend_claims_nothing_it_does_not_know(logit: float | None) -> None:
    found = run(some_trends(logit), fills, 7000)
    assert max(verdict.confidence for _, verdict in found) == 0.5
    assert all(verdict.severity is None and verdict.network == "" for _, verdict in found)
    assert all(verdict.reason.endswith("; whether it goes on is not known") for _, verdict in found)


def test_the_features_are_those_of_the_trend() -> None:
    network = OneAnswer(UNLIKELY)
    run(Trends(10.0, 72 * 3600, network), fills, 7000)
    features = dict(zip(FEATURES, network.asked[-1].tolist(), strict=True))
    assert features["slope_half"] == pytest.approx(1, abs=0.05)
    assert features["rising_steps"] == 1
    assert features["share_beyond"] == 0
    assert 10 < len(network.asked) < 700


def ends(t: float) -> float:
    """A temporary file that grows for half an hour and then stays: netdata #9802."""
    return 14_000 * MIB - min(t, 1800.0) * 3.3 * MIB


def test_a_ramp_that_has_ended_is_not_announced() -> None:
    found = run(some_trends(LIKELY), ends, 5400)
    assert all(at_s < 1800 + 300 for at_s, _ in found)


def test_a_ramp_that_has_paused_opens_no_case_although_hours_of_it_look_likely() -> None:
    """A recorder reached its cap one to three hours ago: windows of ten hours do not show that yet."""

    def reaches_cap(t: float) -> float:
        return 60_000 * MIB - min(t, 72_000.0) * 0.5 * MIB

    network = OneAnswer(UNLIKELY)
    trends = Trends(10.0, 72 * 3600, network)
    run(trends, lambda _: reaches_cap(0), int(DAY_S), 100.0, -DAY_S)
    run(trends, reaches_cap, 75_600, 100.0)
    network.logit = LIKELY
    found = run(trends, reaches_cap, 7200, 100.0, 75_600.0)
    paused = [verdict for _, verdict in found if verdict.confidence > 0.5]
    assert paused
    assert {verdict.severity for verdict in paused} == {Severity.INFO}
    assert all("; not in the last 1 h" in verdict.reason for verdict in paused)


def test_what_a_case_recovered_from_is_not_announced_again_however_small_the_recovery() -> None:
    def small_dip(t: float) -> float:
        return 420 * MIB - min(t % 21_600, 3000.0) * 0.025 * MIB if t % 21_600 < 4000 else 420 * MIB

    trends = some_trends(LIKELY)
    found = run(trends, small_dip, 3 * 21_600)
    assert not [at_s for at_s, _ in found if at_s > 21_600]


def expected(least_headroom: float = 2000 * MIB, days: float = 90.0) -> Expected:
    until_s = (NOON + timedelta(days=days)).timestamp()
    return Expected(fault="disk.filling", component="/data", least_headroom=least_headroom, until_s=until_s)


def test_what_staff_expect_is_a_note_up_to_its_extent() -> None:
    trends = some_trends(LIKELY)
    trends.expect([expected(least_headroom=5000 * MIB)])
    found = run(trends, fills, 10_000)
    notes = [at_s for at_s, verdict in found if verdict.severity is Severity.INFO]
    cases = [at_s for at_s, verdict in found if verdict.severity is None]
    assert notes
    assert min(cases) == pytest.approx(10_800 - 0.8 * 5000, abs=120)
    assert all("closed as expected" in verdict.reason for _, verdict in found if verdict.severity is Severity.INFO)


def test_what_is_expected_ends_at_its_date_is_replaced_and_outlives_a_restart() -> None:
    trends = some_trends(LIKELY)
    trends.expect([expected(days=-1)])
    assert {verdict.severity for _, verdict in run(trends, fills, 5000)} == {None}
    trends.expect([expected()])
    restarted = some_trends(LIKELY)
    restarted.restore_state(json.loads(json.dumps(trends.export_state())))
    assert {verdict.severity for _, verdict in run(restarted, fills, 3000, begin_s=5000)} == {Severity.INFO}
    restarted.expect([])
    assert {verdict.severity for _, verdict in run(restarted, fills, 1000, begin_s=8000)} == {None}


def test_the_state_of_the_version_before_is_taken_up() -> None:
    trends = some_trends(LIKELY)
    run(trends, fills, 4000)
    state = json.loads(json.dumps(trends.export_state()))
    del state["expected"]
    for _, _, part in state["courses"]:
        del part["past"]
    other = some_trends(LIKELY)
    other.restore_state(state | {"version": 1})
    assert other.export_state()["version"] == 2
    assert run(other, fills, 3000, begin_s=4000)


@pytest.mark.parametrize("parts", [{"expected": 7}, {"expected": [[1, 2]]}, {"version": 99}])
def test_a_damaged_state_is_refused(parts: dict[str, object]) -> None:
    trends = some_trends(LIKELY)
    with pytest.raises(ValueError, match="trends: "):
        trends.restore_state(trends.export_state() | parts)


@pytest.mark.parametrize(("kept_s", "severity"), [(900.0, None), (0.0, Severity.INFO)])
def test_a_restart_does_not_turn_a_case_into_a_note(kept_s: float, severity: Severity | None) -> None:
    trends = some_trends(-0.6)  # 35 %: with this much time left it opens no case
    trends.resume("disk.filling", "/data", kept_s and an_instant(DAY_S + kept_s).uptime_s)
    found = run(trends, lambda t: (1800 - t) * MIB, 690)
    assert found
    assert {verdict.severity for _, verdict in found} == {severity}
