"""Alarms become cases, and cases are held against events: small examples worked out by hand."""

import numpy as np
import numpy.typing as npt
import pytest

from models.case_metrics import Cases, Truth, best_of_each, best_of_fleet, false_per_week, total

WEEK_ROWS = 10_080  # of one minute


def rows(count: int, *true: int) -> npt.NDArray[np.bool_]:
    made = np.zeros(count, np.bool_)
    made[list(true)] = True
    return made


def test_alarms_of_one_hour_join_one_case_and_those_near_an_event_are_not_false() -> None:
    truth = Truth(rows(600, *range(300, 320)), 60.0)
    # cases open at 10 (till 69), 70, 292 (near the event, so not false; it joins nothing) and 500
    assert truth.cases(rows(600, 10, 30, 69, 70, 292, 500)) == Cases(1, 1, 3, (-480.0,))
    assert truth.cases(rows(600)) == Cases(0, 1, 0)


def test_an_event_is_found_from_ten_minutes_before_its_start_to_its_last_row() -> None:
    truth = Truth(rows(600, *range(300, 320)), 60.0)
    found = [truth.cases(rows(600, row)).found for row in (289, 290, 319, 320)]
    assert found == [0, 1, 1, 0]


def test_a_case_is_not_false_until_ten_minutes_after_an_event() -> None:
    truth = Truth(rows(600, *range(300, 320)), 60.0)
    assert [truth.cases(rows(600, row)).false for row in (289, 290, 329, 330)] == [1, 0, 0, 1]


def test_an_event_at_the_edges_counts_and_rows_of_an_hour_or_more_work() -> None:
    truth = Truth(rows(4, 0, 3), 7200.0)
    assert truth.cases(rows(4, 0, 1, 2, 3)) == Cases(2, 2, 2, (0.0, 0.0))


def test_precision_recall_f1_and_delay_by_hand() -> None:
    cases = total([Cases(2, 3, 1, (60.0, 180.0)), Cases(1, 2, 2, (600.0,))])
    assert (cases.precision, cases.recall, cases.f1) == pytest.approx((3 / 6, 3 / 5, 6 / 11))
    assert (cases.delay_min(0.5), cases.delay_min(0.9)) == pytest.approx((3.0, 8.6))
    nothing = Cases(0, 2, 0)
    assert (nothing.precision, nothing.f1, nothing.delay_min(0.5)) == (0.0, 0.0, None)


def test_false_cases_are_counted_by_the_week_of_one_machine() -> None:
    truths = [Truth(rows(WEEK_ROWS, 100), 60.0)] * 2
    assert false_per_week(truths, Cases(2, 2, 3)) == pytest.approx(1.5)


def test_one_threshold_for_a_fleet_spends_its_false_cases_where_they_buy_most_and_each_its_own_is_better() -> None:
    # the noisy machine reaches 5 twice in its week when nothing is wrong, the quiet one shows its event at 3
    noisy, quiet = np.zeros(WEEK_ROWS), np.zeros(WEEK_ROWS)
    noisy[[2000, 4000, 6000]], noisy[8000] = 5.0, 9.0
    quiet[8000] = 3.0
    truths = [Truth(rows(WEEK_ROWS, 8000), 60.0)] * 2
    assert best_of_fleet(truths, [noisy, quiet]) == Cases(1, 2, 0, (0.0,))
    assert best_of_each(truths, [noisy, quiet]) == Cases(2, 2, 0, (0.0, 0.0))


def test_a_threshold_that_stays_within_two_false_cases_in_two_weeks_is_taken() -> None:
    score = np.zeros(WEEK_ROWS)
    score[[2000, 4000]], score[8000] = 5.0, 3.0
    truths = [Truth(rows(WEEK_ROWS, 8000), 60.0), Truth(rows(WEEK_ROWS), 60.0)]
    assert best_of_fleet(truths, [score, np.zeros(WEEK_ROWS)]) == Cases(1, 1, 2, (0.0,))
