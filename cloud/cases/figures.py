"""Figures: how good the warnings are (precision, lead time, false cases), and how fast staff work. Pure.

What flows in: the facts of cases, and for how long each device was watched. What flows out: a line of figures for each
group of cases (a fault, a detector version, a model, a site), and one for all.

A case counts once, under the fault and the detector that opened it, so that the lines of a table add up.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cloud.cases.outcomes import Label, Noticed

WEEK_S = 7 * 86_400.0
Z95 = 1.959963984540054  # quantile .975 of the normal distribution
# A case that was no fault cost a call, whatever the reason; a duplicate counts with the case that it repeats.
FALSE = frozenset({Label.FALSE_ALARM, Label.EXPECTED, Label.NO_FAULT_FOUND})


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """What the figures need to know of one case."""

    number: int
    fault: str  # that opened it
    detector: str  # kind and version: "trend 0.1.0"
    model: str
    site: str
    opened_at: datetime
    acknowledged_at: datetime | None = None  # first assigned
    closed_at: datetime | None = None
    label: Label | None = None
    noticed: Noticed = Noticed.NOT_ASKED
    impact_at: datetime | None = None  # as staff reported it
    predicted_at: datetime | None = None  # the last prediction of the device


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with its 95 % interval."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one group. None where nothing can be counted yet."""

    group: str
    cases: int
    labels: Mapping[Label, int]
    unlabelled: int
    precision: Interval | None
    lead_times: int  # of true faults whose impact is known
    lead_measured: int  # of these, with an impact that staff reported; the others have the predicted one
    lead_median_s: float | None
    lead_p10_s: float | None  # nine of ten warnings came at least this early
    false_cases: int
    device_weeks: float | None
    false_per_device_week: float | None
    acknowledge_median_s: float | None
    resolve_median_s: float | None
    asked: int  # cases whose customer was asked
    customer_first: int  # of these, noticed before the warning


def figures_of(group: str, facts: Sequence[CaseFacts], device_weeks: float | None) -> Figures:
    """Return the figures of one group of cases, watched for this long."""
    labels = Counter(case.label for case in facts if case.label)
    false_cases = sum(labels[label] for label in FALSE)
    leads = [lead for case in facts if (lead := lead_time_s(case)) is not None]
    asked = [case for case in facts if case.label is Label.TRUE_FAULT and case.noticed is not Noticed.NOT_ASKED]
    return Figures(
        group=group,
        cases=len(facts),
        labels={label: labels[label] for label in Label},
        unlabelled=sum(case.label is None for case in facts),
        precision=wilson(labels[Label.TRUE_FAULT], labels[Label.TRUE_FAULT] + false_cases),
        lead_times=len(leads),
        lead_measured=sum(case.impact_at is not None for case in facts if lead_time_s(case) is not None),
        lead_median_s=quantile(leads, 0.5),
        lead_p10_s=quantile(leads, 0.1),
        false_cases=false_cases,
        device_weeks=device_weeks,
        false_per_device_week=false_cases / device_weeks if device_weeks else None,
        acknowledge_median_s=quantile(_seconds((case.opened_at, case.acknowledged_at) for case in facts), 0.5),
        resolve_median_s=quantile(_seconds((case.opened_at, case.closed_at) for case in facts), 0.5),
        asked=len(asked),
        customer_first=sum(case.noticed is Noticed.YES for case in asked),
    )


def lead_time_s(case: CaseFacts) -> float | None:
    """Return how long before the impact a true fault became a case; None if that is not known.

    The impact is the one that staff reported, else the last one that the device predicted. A customer who noticed
    first, at an unknown time, was not warned: that is a lead time of 0, whatever was predicted.
    """
    if case.label is not Label.TRUE_FAULT:
        return None
    if case.impact_at is None and case.noticed is Noticed.YES:
        return 0.0
    impact_at = case.impact_at or case.predicted_at
    return (impact_at - case.opened_at).total_seconds() if impact_at else None


def wilson(hits: int, of: int) -> Interval | None:
    """Return a share with its 95 % interval (Wilson 1927, without continuity correction); None of nothing."""
    if not of:
        return None
    share, z2 = hits / of, Z95 * Z95
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = Z95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return Interval(share, max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)))


def quantile(values: Iterable[float], share: float) -> float | None:
    """Return a quantile, interpolated between the neighbouring values; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _seconds(spans: Iterable[tuple[datetime, datetime | None]]) -> list[float]:
    return [(end - start).total_seconds() for start, end in spans if end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A time for which a device was watched, in one version of its agent."""

    device: str
    model: str
    site: str
    agent: str
    start: datetime
    end: datetime

    @property
    def weeks(self) -> float:
        """How long it was."""
        return max(0.0, (self.end - self.start).total_seconds()) / WEEK_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A detector that a device has reported with, and when: it says which version of the agent has this detector."""

    device: str
    detector: str
    at: datetime
    until: datetime | None = None  # the last time; None: that was the only one


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of all cases, and of each group."""

    total: Figures
    by_fault: tuple[Figures, ...]
    by_detector: tuple[Figures, ...]
    by_model: tuple[Figures, ...]
    by_site: tuple[Figures, ...]


def report(facts: Sequence[CaseFacts], watched: Sequence[Watched], seen: Iterable[Sighting]) -> Report:
    """Return the figures of these cases.

    Any device can report any fault, so that a fault is measured against all that was watched. A detector counts the
    time of the agents that have it.
    """
    weeks = _weeks(watched, lambda _: "all").get("all", 0.0)
    return Report(
        total=figures_of("all", facts, weeks),
        by_fault=_grouped(facts, lambda case: case.fault, lambda _: weeks),
        by_detector=_grouped(facts, lambda case: case.detector, _weeks_of_detectors(watched, seen).get),
        by_model=_grouped(facts, lambda case: case.model, _weeks(watched, lambda one: one.model).get),
        by_site=_grouped(facts, lambda case: case.site, _weeks(watched, lambda one: one.site).get),
    )


def _grouped(
    facts: Sequence[CaseFacts], group_of: Callable[[CaseFacts], str], weeks_of: Callable[[str], float | None]
) -> tuple[Figures, ...]:
    """Return the figures of each group, the one with most cases first."""
    groups: dict[str, list[CaseFacts]] = {}
    for case in facts:
        groups.setdefault(group_of(case), []).append(case)
    lines = [figures_of(group, cases, weeks_of(group)) for group, cases in groups.items()]
    return tuple(sorted(lines, key=lambda line: (-line.cases, line.group)))


def _weeks(watched: Iterable[Watched], group_of: Callable[[Watched], str]) -> dict[str, float]:
    weeks: dict[str, float] = {}
    for one in watched:
        weeks[group_of(one)] = weeks.get(group_of(one), 0.0) + one.weeks
    return weeks


def _weeks_of_detectors(watched: Sequence[Watched], seen: Iterable[Sighting]) -> dict[str, float]:
    spans: dict[str, list[Watched]] = {}
    for span in watched:
        spans.setdefault(span.device, []).append(span)
    agents: dict[str, set[str]] = {}
    for sighting in seen:
        last = sighting.until or sighting.at
        having = [one.agent for one in spans.get(sighting.device, ()) if one.start <= last and sighting.at <= one.end]
        agents.setdefault(sighting.detector, set()).update(having)
    by_agent = _weeks(watched, lambda one: one.agent)
    return {detector: sum(by_agent[agent] for agent in having) for detector, having in agents.items() if having}
