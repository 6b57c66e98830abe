"""The device controls its rate of cases, for any distribution of scores."""

import itertools
import json
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.detection.anomaly.alarm_rate import (
    BLOCKS,
    CASES_PER_FALSE_ONE,
    CREDIT,
    INCIDENTS_PER_WEEK,
    PUSH,
    START,
    Alarms,
    Decision,
)

STEP_S = 300.0
WEEK = round(7 * 86_400 / STEP_S)
Series = npt.NDArray[np.float64]


def stationary(kind: str, rows: int, seed: int) -> Series:
    """Strengths of a device on which nothing happens, in one of the ways in which strengths scatter."""
    rng = np.random.default_rng(seed)
    if kind == "Gaussian":
        strengths = np.abs(rng.normal(2.5, 0.5, rows))
    elif kind == "heavy-tailed":
        strengths = 0.3 + rng.pareto(3, rows)
    else:
        steps, drift = rng.normal(size=rows), np.zeros(rows)
        for row in range(1, rows):
            drift[row] = 0.98 * drift[row - 1] + 0.2 * steps[row]
        strengths = np.exp(0.4 * drift)
    quiet: Series = np.minimum(20.0, strengths)
    return quiet


def decide(alarms: Alarms, strengths: Sequence[float] | Series) -> list[Decision]:
    return [alarms.step(float(strength)) for strength in strengths]


def cases(decisions: Sequence[Decision]) -> int:
    return sum(decision.alarm for decision in decisions)


def bearable(false_per_week: float) -> float:
    return CASES_PER_FALSE_ONE * false_per_week + INCIDENTS_PER_WEEK


@pytest.mark.parametrize("false_per_week", [1.0, 7 / 30])
@pytest.mark.parametrize("kind", ["Gaussian", "heavy-tailed", "autocorrelated"])
def test_the_rate_of_cases_is_held_on_a_device_where_nothing_happens(kind: str, false_per_week: float) -> None:
    rates = []
    for seed in range(3):
        alarms = Alarms(false_per_week, STEP_S)
        decide(alarms, stationary(kind, 3 * WEEK, seed))
        rates.append(cases(decide(alarms, stationary(kind, 9 * WEEK, seed + 100))) / 9)
    assert np.mean(rates) <= 1.3 * bearable(false_per_week)


def test_the_rate_is_held_again_after_the_scores_have_shifted_for_good() -> None:
    alarms = Alarms(1.0, STEP_S)
    decide(alarms, stationary("Gaussian", 4 * WEEK, 1))
    decide(alarms, 2.0 * stationary("Gaussian", 4 * WEEK, 2))
    assert cases(decide(alarms, 2.0 * stationary("Gaussian", 8 * WEEK, 3))) / 8 <= 1.3 * bearable(1.0)


def test_a_device_with_few_cases_uses_the_bar_of_the_fleet() -> None:
    alarms = Alarms(1.0, STEP_S)
    assert cases(decide(alarms, np.full(4 * WEEK, 1.0))) == 0
    assert alarms.step(1.01 * START).alarm


def test_a_quiet_device_gets_credit_and_uses_it_before_its_bar_rises() -> None:
    """Peaks of four weeks are far above the fleet's bar; only its own cases push a device towards them."""
    saved = round(CREDIT / PUSH)
    alarms = Alarms(1.0, STEP_S)
    decide(alarms, np.full(4 * WEEK, 1.0))
    bars = []
    for _ in range(saved + 3):
        bars.append(alarms.step(5.0).bar)
        decide(alarms, [1.0] * 71)  # six hours; what is remembered of the last case's peak is no matter here
        alarms.restore_state(alarms.export_state() | {"memory": 0.0})
    assert bars[: saved + 1] == pytest.approx([START] * (saved + 1), rel=0.01)
    assert bars[-1] > 1.05 * START


def test_incidents_do_not_hide_stronger_ones() -> None:
    strengths = np.full(8 * WEEK, 1.0)
    strengths[:: WEEK // 5] = 6.0  # five incidents a week
    alarms = Alarms(1.0, STEP_S)
    decide(alarms, strengths)
    assert alarms.step(6.0).bar < 7.0
    decide(alarms, [1.0] * 12)
    assert cases(decide(alarms, [10.0] * 24)) == 1


def test_a_new_device_has_a_higher_bar_and_works_from_its_first_row() -> None:
    assert not Alarms().step(1.1 * START).alarm
    assert Alarms().step(1.8 * START).alarm


def test_a_continuing_anomaly_is_one_case_and_a_much_stronger_one_is_another() -> None:
    alarms = Alarms(1.0, STEP_S)
    assert cases(decide(alarms, [5.0] * 60)) == 1
    assert cases(decide(alarms, [15.0] * 60)) == 1


def test_a_case_is_active_until_the_strength_has_clearly_fallen() -> None:
    found = decide(Alarms(1.0, STEP_S), [1.0, 6.0, 4.0, 3.5, 1.0, 3.5])
    assert [decision.active for decision in found] == [False, True, True, True, False, False]


def test_rows_without_a_strength_open_no_case_and_count_for_the_waiting_time() -> None:
    alarms = Alarms(1.0, STEP_S)
    assert cases([alarms.step(odd) for odd in (None, math.nan, math.inf, -math.inf)]) == 0


def test_a_smaller_rate_never_has_a_lower_bar() -> None:
    strengths = stationary("heavy-tailed", WEEK, 5)
    often, seldom = (cases(decide(Alarms(rate, STEP_S), strengths)) for rate in (1.0, 0.1))
    assert Alarms(0.1).step(1.0).bar > Alarms(1.0).step(1.0).bar
    assert seldom <= often


def test_the_learned_state_survives_a_reboot_and_is_valid_for_another_rate() -> None:
    one = Alarms(1.0, STEP_S)
    decide(one, stationary("heavy-tailed", 5 * WEEK, 1))
    state = json.loads(json.dumps(one.export_state()))
    other = Alarms(1.0, STEP_S)
    other.restore_state(state)
    assert other.export_state() == state
    further = stationary("heavy-tailed", WEEK, 2)
    assert [d.alarm for d in decide(one, further)] == [d.alarm for d in decide(other, further)]
    Alarms(0.2, STEP_S).restore_state(state)
    assert isinstance(state["peaks"], list)
    assert len(state["peaks"]) == BLOCKS


def test_an_active_case_continues_over_a_restart_and_ends_when_the_strength_falls() -> None:
    before, after = Alarms(1.0, STEP_S), Alarms(1.0, STEP_S)
    decide(before, stationary("Gaussian", 504, 1))
    assert cases([before.step(30.0) for _ in range(20)]) == 1
    after.restore_state(json.loads(json.dumps(before.export_state())))
    louder = [after.step(30.0) for _ in range(20)]
    assert all(decision.active and not decision.alarm for decision in louder)
    assert not after.step(0.5).active
    after.resume()
    assert after.step(30.0).active


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0},
        {"step_s": 1.0},
        {"peaks": [math.nan]},
        {"peaks": [0.0] * 113},
        {"pushed": 2},
        {"pushed": -2},
        {"rows": None},
        {"standing": 1},
    ],
)
def test_a_broken_state_is_refused_and_changes_nothing(change: dict[str, object]) -> None:
    alarms = Alarms(1.0, STEP_S)
    decide(alarms, stationary("Gaussian", 500, 1))
    before = alarms.export_state()
    with pytest.raises(ValueError, match="alarms: "):
        alarms.restore_state(before | change)
    assert alarms.export_state() == before


@pytest.mark.parametrize("wrong", [(0.0, 60.0), (math.nan, 60.0), (1.0, 0.0), (1.0, math.inf)])
def test_an_impossible_rate_or_step_is_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Alarms(*wrong)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(), st.floats(0, 20)), max_size=300))
def test_the_bar_is_finite_and_a_case_never_follows_another_within_an_hour(odd: list[float | None]) -> None:
    alarms = Alarms(1.0, STEP_S)
    found = [alarms.step(strength) for strength in odd]
    assert all(math.isfinite(decision.bar) and decision.bar > 0 for decision in found)
    opened = [row for row, decision in enumerate(found) if decision.alarm]
    assert all(later - earlier >= 12 for earlier, later in itertools.pairwise(opened))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 20), max_size=100), st.floats(0, 20), st.floats(0, 20))
def test_with_the_same_history_a_stronger_row_alarms_wherever_a_weaker_one_does(
    past: list[float], one: float, two: float
) -> None:
    results = []
    for strength in sorted((one, two)):
        alarms = Alarms(1.0, STEP_S)
        decide(alarms, past)
        results.append(alarms.step(strength).alarm)
    assert results[0] <= results[1]
