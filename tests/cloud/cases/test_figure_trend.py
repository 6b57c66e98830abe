from datetime import timedelta

from cloud.cases.figure_trend import heat, monday, trends
from cloud.cases.figures import CaseFacts
from cloud.cases.outcomes import Label
from tests.builders import NOON

WEEK = timedelta(days=7)


def a_case(
    number: int,
    weeks_ago: int,
    label: Label | None,
    detector: str = "trend 2",
    *,
    model: str = "Pi 5",
    fault: str = "disk.filling",
) -> CaseFacts:
    at = NOON - weeks_ago * WEEK
    return CaseFacts(number=number, detector=detector, opened_at=at, label=label, fault=fault, model=model, site="")


def test_a_trend_has_every_week_and_each_detector_version_its_own() -> None:
    cases = [
        a_case(1, 3, Label.FALSE_ALARM, "trend 1"),
        a_case(2, 1, Label.TRUE_FAULT),
        a_case(3, 1, Label.FALSE_ALARM),
        a_case(4, 0, None),
    ]
    every, second, first = trends(cases, NOON - 4 * WEEK, NOON, 8)
    assert [week.figures.cases for week in every.weeks] == [0, 1, 0, 2, 1]
    assert every.weeks[-1].week == monday(NOON)
    assert (second.group, first.group) == ("trend 2", "trend 1")
    shares = [week.figures.precision.share if week.figures.precision else None for week in second.weeks]
    assert shares == [None, None, None, 0.5, None]


def test_the_heat_counts_cases_by_fault_and_model_and_leaves_out_what_does_not_fit() -> None:
    cases = [a_case(n, 0, None) for n in range(3)]
    cases += [a_case(4, 0, None, model="Pi 4"), a_case(5, 0, None, fault="memory.leak")]
    found = heat(cases, 2, 1)
    assert (found.faults, found.models, found.counts, found.most) == (
        ("disk.filling", "memory.leak"),
        ("Pi 5",),
        ((3,), (1,)),
        3,
    )
