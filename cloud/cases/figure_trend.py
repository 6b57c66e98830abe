"""Figures over time: precision and lead time by week and by detector version; and cases by fault and model. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from cloud.cases.figures import CaseFacts, Figures, figures_of


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekFigures:
    """The figures of the cases that were opened in a week (it begins on Monday, UTC)."""

    week: date
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One group's figures week by week, without gaps; weeks without a case have figures of nothing."""

    group: str
    cases: int
    weeks: tuple[WeekFigures, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """Cases by fault and model: `counts` is a row for each fault, a column for each model."""

    faults: tuple[str, ...]
    models: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def most(self) -> int:
        """The largest count."""
        return max((count for row in self.counts for count in row), default=0)


def monday(at: datetime) -> date:
    """Return the first day of a week, in UTC."""
    day = at.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())


def trends(facts: Sequence[CaseFacts], since: datetime, until: datetime, most: int) -> tuple[Trend, ...]:
    """Return the trend of all cases, then that of each detector version, the one with most cases first."""
    weeks, week = [], monday(since)
    while week <= monday(until):
        weeks.append(week)
        week += timedelta(days=7)
    groups: dict[str, list[CaseFacts]] = {}
    for case in facts:
        groups.setdefault(case.detector, []).append(case)
    ordered = sorted(groups.items(), key=lambda one: (-len(one[1]), one[0]))[:most]
    return tuple(_trend(group, cases, weeks) for group, cases in [("all", list(facts)), *ordered])


def _trend(group: str, facts: Sequence[CaseFacts], weeks: Sequence[date]) -> Trend:
    by_week: dict[date, list[CaseFacts]] = {}
    for case in facts:
        by_week.setdefault(monday(case.opened_at), []).append(case)
    found = tuple(WeekFigures(week=week, figures=figures_of(group, by_week.get(week, []), None)) for week in weeks)
    return Trend(group=group, cases=len(facts), weeks=found)


def heat(facts: Sequence[CaseFacts], most_faults: int, most_models: int) -> Heat:
    """Count the cases by fault and model, the most frequent ones first; what does not fit is left out."""
    counts: dict[tuple[str, str], int] = {}
    by_fault: dict[str, int] = {}
    by_model: dict[str, int] = {}
    for case in facts:
        counts[case.fault, case.model] = counts.get((case.fault, case.model), 0) + 1
        by_fault[case.fault] = by_fault.get(case.fault, 0) + 1
        by_model[case.model] = by_model.get(case.model, 0) + 1
    faults = sorted(by_fault, key=lambda fault: (-by_fault[fault], fault))[:most_faults]
    models = sorted(by_model, key=lambda model: (-by_model[model], model))[:most_models]
    rows = tuple(tuple(counts.get((fault, model), 0) for model in models) for fault in faults)
    return Heat(faults=tuple(faults), models=tuple(models), counts=rows)
