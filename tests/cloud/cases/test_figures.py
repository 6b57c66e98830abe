"""The figures count each case once, give every share its interval, and give nothing where nothing is known."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cases.figures import CaseFacts, figures_of, lead_time_s, quantile, wilson
from cloud.cases.outcomes import Label, Noticed
from tests.builders import NOON


def after(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def facts(number: int = 1, **given: Any) -> CaseFacts:
    known: dict[str, Any] = {"fault": "disk.filling", "detector": "trend 0.1.0", "model": "Pi 5", "site": "Dock B"}
    return CaseFacts(number=number, opened_at=NOON, **(known | given))


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (8, 10, 0.4901625, 0.9433178),  # R: prop.test(8, 10, correct = FALSE)
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (81, 263, 0.2552899, 0.3662140),  # Newcombe 1998, table I, method 3: .2553 to .3662
    ],
)
def test_the_interval_of_a_share_is_wilsons(hits: int, of: int, low: float, high: float) -> None:
    interval = wilson(hits, of)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_is_unknown() -> None:
    assert wilson(0, 0) is None
    assert quantile([], 0.5) is None


@given(st.integers(1, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))))
def test_an_interval_holds_its_share_and_lies_between_0_and_1(counts: tuple[int, int]) -> None:
    interval = wilson(*counts)
    assert interval is not None
    assert 0 <= interval.low <= interval.share <= interval.high <= 1
    assert interval.low < interval.high


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.sampled_from([0.1, 0.5, 0.9]))
def test_quantiles_are_those_of_numpy(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-9, abs=1e-6)


def test_precision_counts_what_was_no_fault_and_leaves_duplicates_out() -> None:
    labels = [*[Label.TRUE_FAULT] * 6, Label.FALSE_ALARM, Label.EXPECTED, Label.NO_FAULT_FOUND, Label.DUPLICATE, None]
    line = figures_of("all", [facts(number, label=label) for number, label in enumerate(labels)], 4.0)
    assert line.precision is not None
    assert line.precision.share == 6 / 9
    assert (line.cases, line.unlabelled, line.false_cases, line.false_per_device_week) == (11, 1, 3, 0.75)
    assert sum(line.labels.values()) + line.unlabelled == line.cases


@pytest.mark.parametrize(
    ("given", "hours"),
    [
        ({"label": Label.TRUE_FAULT, "predicted_at": after(3)}, 3),
        ({"label": Label.TRUE_FAULT, "predicted_at": after(3), "impact_at": after(5)}, 5),
        ({"label": Label.TRUE_FAULT, "impact_at": after(-1), "noticed": Noticed.YES}, -1),
        ({"label": Label.TRUE_FAULT, "predicted_at": after(3), "noticed": Noticed.YES}, 0),
        ({"label": Label.TRUE_FAULT}, None),
        ({"label": Label.FALSE_ALARM, "predicted_at": after(3)}, None),
        ({"predicted_at": after(3)}, None),
    ],
)
def test_the_lead_time_is_from_the_opening_to_the_impact_that_is_best_known(given: Any, hours: float | None) -> None:
    assert lead_time_s(facts(**given)) == (None if hours is None else 3600 * hours)


def test_lead_times_say_how_many_of_them_were_measured() -> None:
    cases = [facts(n, label=Label.TRUE_FAULT, impact_at=after(n)) for n in range(1, 10)]
    line = figures_of("all", [*cases, facts(10, label=Label.TRUE_FAULT, predicted_at=after(10))], None)
    assert (line.lead_times, line.lead_measured) == (10, 9)
    assert line.lead_median_s == 5.5 * 3600
    assert line.lead_p10_s == pytest.approx(1.9 * 3600)
    assert line.false_per_device_week is None


def test_times_to_acknowledge_and_resolve_are_medians_of_the_cases_that_got_there() -> None:
    cases = [facts(n, acknowledged_at=after(n), closed_at=after(2 * n)) for n in (1, 2, 6)]
    line = figures_of("all", [*cases, facts(4)], None)
    assert (line.acknowledge_median_s, line.resolve_median_s) == (2 * 3600, 4 * 3600)


def test_the_customer_came_first_where_staff_asked_and_the_fault_was_true() -> None:
    answers = [(Label.TRUE_FAULT, noticed) for noticed in Noticed] + [(Label.FALSE_ALARM, Noticed.YES)]
    line = figures_of(
        "all", [facts(n, label=label, noticed=noticed) for n, (label, noticed) in enumerate(answers)], None
    )
    assert (line.asked, line.customer_first) == (2, 1)
