"""Rows of the store as the values that the rules work on, and back."""

from dataclasses import asdict, fields
from typing import Any

from cloud.cases.cases import Case, CaseState, Label
from cloud.cases.episodes import Episode, EpisodeState
from cloud.store import tables
from edge_agent.protocol.faults import Severity


def episode_of(row: tables.Episode) -> Episode:
    """Return what the rules need to know of an episode."""
    known = {field.name: getattr(row, field.name) for field in fields(Episode)}
    return Episode(**known | {"state": EpisodeState(row.state), "severity": Severity(row.severity)})


def case_of(row: tables.SupportCase) -> Case:
    """Return what the rules need to know of a case."""
    known = {field.name: getattr(row, field.name) for field in fields(Case)}
    words = {"state": CaseState(row.state), "severity": Severity(row.severity)}
    return Case(**known | words | {"label": Label(row.label) if row.label else None})


def columns_of(case: Case) -> dict[str, Any]:
    """Return the columns of a case; without its number while the database has not given it one."""
    columns = asdict(case)
    if not case.number:
        del columns["number"]
    return columns


def write(row: tables.Episode | tables.SupportCase, state: Episode | Case) -> None:
    """Set the columns of a row."""
    for field in fields(state):
        setattr(row, field.name, getattr(state, field.name))
