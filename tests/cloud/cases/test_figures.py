"""The figures count each case once, give every share its interval, and give nothing where nothing is known."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.cases.figures import CaseFacts, Sighting, Watched, figures_of, lead_time_s, quantile, report, wilson
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


def test_lead_times_count_how_many_of_them_were_measured() -> None:
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


def watched_for(weeks: float, *, device: str = "pump-07", agent: str = "0.1.0", from_week: float = 0) -> Watched:
    start = NOON + timedelta(weeks=from_week)
    return Watched(
        device=device, model="Pi 5", site="Dock B", agent=agent, start=start, end=start + timedelta(weeks=weeks)
    )


def test_a_detector_counts_the_weeks_of_the_agents_that_have_it_on_all_devices() -> None:
    """pump-08 has no case, and runs the same agent as pump-07: its quiet weeks count."""
    spans = [watched_for(2), watched_for(2, agent="0.2.0", from_week=2), watched_for(4, device="pump-08")]
    cases = [facts(1, label=Label.FALSE_ALARM), facts(2, detector="trend 0.2.0", label=Label.FALSE_ALARM)]
    seen = [
        Sighting(device="pump-07", detector="trend 0.1.0", at=NOON),
        Sighting(device="pump-07", detector="trend 0.2.0", at=NOON + timedelta(weeks=3)),
    ]
    found = report(cases, spans, seen)
    assert {line.group: line.device_weeks for line in found.by_detector} == {"trend 0.1.0": 6.0, "trend 0.2.0": 2.0}
    assert found.total.device_weeks == 8.0
    assert found.by_fault[0].false_per_device_week == 2 / 8


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from([*Label, None]))))
def test_the_lines_of_each_table_add_up_to_the_total(cases: list[tuple[str, str, Label | None]]) -> None:
    found = report([facts(n, fault=f, site=s, label=label) for n, (f, s, label) in enumerate(cases)], [], [])
    for table in (found.by_fault, found.by_detector, found.by_model, found.by_site):
        assert sum(line.cases for line in table) == found.total.cases == len(cases)
        assert sum(line.false_cases for line in table) == found.total.false_cases
