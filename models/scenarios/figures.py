"""Figures: the cases of each scenario against its truth, by family.

What flows in: a scenario and its cases. What flows out: what was found, how long before the impact, and what was false.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.scenarios.replay import Case
from models.scenarios.scenario import Impact, Kind, Rise, Scenario

CONSEQUENCES = {"memory.leak": "oom.kill"}  # reported after the impact


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One scenario. `leads`: for each impact the time from its case to it, as a share of onset to impact; or None.

    `rises`: for each rise of a look-alike, whether a case opened. `false`: cases of no fault that exists.
    """

    family: str
    kind: Kind
    seed: int
    cases: tuple[Case, ...]
    leads: tuple[float | None, ...]
    rises: tuple[bool, ...]
    false: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LookalikeFigures:
    """A family of look-alikes: shares of the scenarios that open a case the first and the second time; all cases."""

    scenarios: int
    first: float
    second: float | None
    cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultFigures:
    """A family of faults: share found before the impact; found, of found and false cases; the median lead."""

    faults: int
    found: float
    precision: float | None
    lead: float | None
    false: int


def outcome(scenario: Scenario, cases: Sequence[Case]) -> Outcome:
    """Compare the cases of a scenario with its truth."""
    matching = {impact: [case for case in cases if _announces(case, impact)] for impact in scenario.impacts}
    return Outcome(
        family=scenario.family,
        kind=scenario.kind,
        seed=scenario.seed,
        cases=tuple(cases),
        leads=tuple(_lead(impact, found) for impact, found in matching.items()),
        rises=tuple(_opens(cases, rise) for rise in scenario.rises),
        false=sum(not any(_concerns(case, impact) for impact in scenario.impacts) for case in cases),
    )


def _announces(case: Case, impact: Impact) -> bool:
    return _concerns(case, impact) and case.opened_s < impact.impact_s


def _concerns(case: Case, impact: Impact) -> bool:
    """Return whether a case is about a fault that exists, or its consequence; after the impact it is not false."""
    if case.fault == CONSEQUENCES.get(impact.fault):
        return case.opened_s >= impact.impact_s
    return (case.fault, case.component) == (impact.fault, impact.component) and impact.began_s <= case.opened_s


def _lead(impact: Impact, found: Sequence[Case]) -> float | None:
    """Return the lead of the first case; a case before the onset, of a fault that was hidden, counts as 1."""
    if not found:
        return None
    return min(1.0, (impact.impact_s - found[0].opened_s) / (impact.impact_s - impact.onset_s))


def _opens(cases: Sequence[Case], rise: Rise) -> bool:
    return any(rise.begin_s <= case.opened_s < rise.until_s for case in cases)


def of_lookalikes(outcomes: Sequence[Outcome]) -> LookalikeFigures:
    """Summarise look-alikes, of one family or of all."""
    second = [each.rises[1] for each in outcomes if len(each.rises) > 1]
    return LookalikeFigures(
        scenarios=len(outcomes),
        first=float(np.mean([each.rises[0] for each in outcomes])),
        second=float(np.mean(second)) if second else None,
        cases=sum(each.false for each in outcomes),
    )


def of_faults(outcomes: Sequence[Outcome]) -> FaultFigures:
    """Summarise faults, of one family or of all. The lead is of the faults that were found."""
    leads = [lead for each in outcomes for lead in each.leads]
    found = [lead for lead in leads if lead is not None]
    false = sum(each.false for each in outcomes)
    return FaultFigures(
        faults=len(leads),
        found=len(found) / len(leads),
        precision=len(found) / (len(found) + false) if found or false else None,
        lead=float(np.median(found)) if found else None,
        false=false,
    )
