"""Figures of probabilities, and the reliability table."""

import numpy as np
import pytest

from models.persistence.probability_figures import figures, reliability

CAME = np.array([True, False, True, False, False, True, False, False])


def test_a_perfect_claim_has_the_best_figures_and_a_constant_one_ranks_nothing() -> None:
    perfect, constant = figures(CAME, CAME.astype(float)), figures(CAME, np.full(8, 0.375))
    assert (perfect.auc, perfect.brier, perfect.precision, perfect.sure_true) == (1.0, 0.0, 1.0, 1.0)
    assert constant.auc == pytest.approx(0.5)
    assert constant.precision == constant.base_rate == 0.375
    assert np.isnan(constant.sure_true)


def test_the_area_is_the_share_of_pairs_in_the_right_order_with_ties_half() -> None:
    probability = np.array([0.9, 0.8, 0.4, 0.4, 0.1, 0.7, 0.2, 0.3])
    pairs = [np.sign(a - b) / 2 + 0.5 for a in probability[CAME] for b in probability[~CAME]]
    assert figures(CAME, probability).auc == pytest.approx(np.mean(pairs))


def test_a_set_in_which_nothing_came_true_has_no_ranking() -> None:
    found = figures(np.zeros(3, np.bool_), np.array([0.1, 0.2, 0.9]))
    assert np.isnan(found.auc)
    assert np.isnan(found.precision)
    assert found.sure_true == 0.0


def test_the_reliability_table_groups_by_tenths() -> None:
    rows = list(reliability(CAME, np.array([0.05, 0.01, 1.0, 0.55, 0.56, 0.99, 0.05, 0.05])))
    assert [(low, count) for low, count, _, _ in rows] == [(0.0, 4), (0.5, 2), (0.9, 2)]
    assert [came for *_, came in rows] == [0.25, 0.0, 1.0]
