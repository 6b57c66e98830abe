"""Which cases a list shows: the filter as a value, and as conditions of SQL."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from cloud.cases.cases import DONE, CaseState
from cloud.cases.lanes import Lane
from cloud.cases.problems import ProblemState
from cloud.store.search_index import case_contains
from cloud.store.tables import Device, Episode, Problem, SupportCase
from edge_agent.protocol.faults import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """Which cases are wanted; all given fields must fit, and within one field any of its values."""

    states: frozenset[CaseState] = frozenset(CaseState) - DONE
    severities: frozenset[Severity] = frozenset()
    devices: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()  # a part of the name, in any case; so for customers, sites and firmware
    customers: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    firmware: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()  # "" means nobody
    faults: frozenset[str] = frozenset()
    problems: frozenset[int] = frozenset()
    lanes: frozenset[Lane] = frozenset()
    informed: frozenset[str] = frozenset()  # handed over by these, who are kept informed
    grouped: bool = False  # without the cases of open problems, which are shown as one; critical ones stay
    texts: tuple[str, ...] = ()  # each must occur in title, fault, notes, device, customer or site


def conditions(wanted: CaseFilter) -> list[ColumnElement[bool]]:
    """Return the conditions on `SupportCase`; no other table needs to be joined."""
    found: list[ColumnElement[bool]] = [SupportCase.state.in_(wanted.states)]
    found += _any_of(SupportCase.severity, wanted.severities)
    found += _any_of(SupportCase.device, wanted.devices)
    found += _any_of(SupportCase.problem_number, wanted.problems)
    found += _any_of(SupportCase.lane, wanted.lanes)
    found += _any_of(SupportCase.first_owner, wanted.informed)
    found += _of_devices(wanted)
    if wanted.owners:
        nobody = SupportCase.owner.is_(None) if "" in wanted.owners else false()
        found.append(or_(SupportCase.owner.in_(wanted.owners - {""}), nobody))
    if wanted.faults:
        having = select(Episode.case_number).where(Episode.fault.in_(wanted.faults))
        found.append(SupportCase.number.in_(having))
    if wanted.grouped:
        found.append(_is_not_grouped())
    return found + [case_contains(text) for text in wanted.texts]


def _any_of(
    column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None] | InstrumentedAttribute[int | None],
    values: Iterable[str | int],
) -> list[ColumnElement[bool]]:
    return [column.in_(values)] if values else []


def _of_devices(wanted: CaseFilter) -> list[ColumnElement[bool]]:
    """Select the cases of devices with one of these models, at one of these sites, and so on."""
    fields = (
        (Device.hardware, wanted.models),
        (Device.customer, wanted.customers),
        (Device.site, wanted.sites),
        (Device.firmware, wanted.firmware),
    )
    asked = [
        or_(*(column.icontains(value, autoescape=True) for value in sorted(values)))
        for column, values in fields
        if values
    ]
    return [SupportCase.device.in_(select(Device.device).where(and_(*asked)))] if asked else []


def _is_not_grouped() -> ColumnElement[bool]:
    """Select what no open problem stands for: a critical case always stays on its own."""
    grouping = select(Problem.number).where(Problem.state == ProblemState.OPEN)
    return or_(
        SupportCase.problem_number.is_(None),
        SupportCase.problem_number.not_in(grouping),
        SupportCase.severity == Severity.CRITICAL,
    )
