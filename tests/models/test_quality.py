"""Figures against labels."""

import numpy as np
import pytest

from models.quality import Cases, at_threshold, auc_pr, auc_roc, count_cases


def labels(text: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([letter == "#" for letter in text])


def test_a_perfect_ranking_has_area_one_and_the_worst_has_the_least() -> None:
    label = labels("..##..")
    assert auc_pr(label, label.astype(float)) == 1.0
    assert auc_pr(label, (~label).astype(float)) == pytest.approx(2 / 6)


def test_ties_make_one_step_and_an_example_by_hand_agrees() -> None:
    assert auc_pr(labels("#.#."), np.zeros(4)) == pytest.approx(0.5)
    # found after 1, 3 rows: 1/2 * 1/1 + 1/2 * 2/3
    assert auc_pr(labels("#.#."), np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(5 / 6)


def test_the_area_under_roc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert auc_roc(labels("#.#."), np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(3 / 4)
    assert auc_roc(labels("##.."), np.zeros(4)) == 0.5


def test_no_event_gives_no_area() -> None:
    assert np.isnan(auc_pr(labels("...."), np.arange(4.0)))
    assert np.isnan(auc_roc(labels("...."), np.arange(4.0)))


def test_alarms_of_one_hour_join_one_case_and_those_near_an_event_are_not_false() -> None:
    label = np.zeros(600, np.bool_)
    label[300:320] = True
    alarm = np.zeros(600, np.bool_)
    alarm[[10, 30, 69, 70, 292, 500]] = True
    assert count_cases(label, alarm, 60.0) == Cases(found=1, events=1, false=3)
    assert count_cases(label, np.zeros(600, np.bool_), 60.0) == Cases(found=0, events=1, false=0)


def test_machines_at_one_threshold_are_added_up_over_their_weeks() -> None:
    label = np.zeros(10_080, np.bool_)
    score = np.zeros(10_080)
    label[100], score[[100, 5000]] = True, 1.0
    cases, false_a_week = at_threshold([label, label], [score, score], [60.0, 60.0], 0.5)
    assert cases == Cases(found=2, events=2, false=2)
    assert false_a_week == pytest.approx(1.0)
    assert cases.f1 == pytest.approx(2 / 3)
