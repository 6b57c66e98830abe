"""Areas under curves: small examples worked out by hand."""

import numpy as np
import pytest

from models.ranking_metrics import auc_pr, auc_roc, vus_pr


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
    assert np.isnan(vus_pr(labels("...."), np.arange(4.0), 2))


def test_without_a_buffer_the_volume_is_the_area_by_hand() -> None:
    # rows are told in the order 0, 3, 2, 1. The event at 0 is touched at once, that at 2 with the third row:
    # recall 1/2 * 1/2, then 1/4, then 2/2 * 1; area 1/4 * 1/1 + 3/4 * 2/3
    assert vus_pr(labels("#.#."), np.array([4.0, 1.0, 2.0, 3.0]), 0) == pytest.approx(1 / 4 + 1 / 2)


def test_a_buffer_forgives_a_near_miss_by_hand() -> None:
    label, score = labels("..#.."), np.array([1.0, 5.0, 4.0, 2.0, 3.0])
    # told in the order 1, 2, 4, 3, 0. Buffers of 0 and 1 soften nothing: recall 1 at the second row, precision 1/2.
    # A buffer of 2 gives the rows beside the event s = sqrt(1/2) each:
    # - row 1: hits s, outside s, so recall s / (1 + s/2), precision s
    # - row 2: hits 1 + s > 1 + s/2, so recall 1, precision (1 + s) / 2; nothing can be gained after it
    s = np.sqrt(1 / 2)
    first = s / (1 + s / 2)
    softened = first * s + (1 - first) * (1 + s) / 2
    assert vus_pr(label, score, 0) == pytest.approx(1 / 2)
    assert vus_pr(label, score, 2) == pytest.approx((1 / 2 + 1 / 2 + softened) / 3)


def test_events_whose_buffers_overlap_count_as_one_and_touching_ones_do_not() -> None:
    # buffers of 4 reach 2 rows: events 4 apart overlap in the middle, those 5 apart touch
    near, far = labels("..#...#..."), labels("..#....#..")
    score = np.array([0, 0, 9.0, 0, 0, 0, 0, 0, 0, 0])
    assert vus_pr(near, score, 4) != pytest.approx(vus_pr(far, score, 4))


def test_a_perfect_score_has_volume_near_one_and_a_constant_one_little() -> None:
    label = np.zeros(2000, np.bool_)
    label[500:560] = label[1200:1210] = True
    assert vus_pr(label, label.astype(float), 0) == pytest.approx(1.0)
    assert vus_pr(label, np.zeros(2000), 24) < 0.06
