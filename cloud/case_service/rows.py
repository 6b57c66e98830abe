"""Rows of the store as the values that the rules work on, and back."""

from dataclasses import fields
from datetime import time
from typing import Any

from cloud.cases.cases import Case, CaseState, Label
from cloud.cases.episodes import Episode, EpisodeState
from cloud.cases.lanes import Lane
from cloud.cases.problems import Problem, ProblemState, Scope
from cloud.cases.silences import Silence
from cloud.store import tables
from edge_agent.protocol.faults import Severity

_EPISODE = tuple(field.name for field in fields(Episode))
_CASE = tuple(field.name for field in fields(Case))
_PROBLEM = tuple(field.name for field in fields(Problem))
_SILENCE = tuple(field.name for field in fields(Silence))
_TIME = "%H:%M"


def episode_of(row: tables.Episode) -> Episode:
    """Return what the rules need to know of an episode."""
    known: dict[str, Any] = {name: getattr(row, name) for name in _EPISODE}
    return Episode(**known | {"state": EpisodeState(row.state), "severity": Severity(row.severity)})


def case_of(row: tables.SupportCase) -> Case:
    """Return what the rules need to know of a case."""
    known: dict[str, Any] = {name: getattr(row, name) for name in _CASE}
    words = {
        "state": CaseState(row.state),
        "severity": Severity(row.severity),
        "label": Label(row.label) if row.label else None,
        "lane": Lane(row.lane) if row.lane else None,
    }
    return Case(**known | words)


def problem_of(row: tables.Problem) -> Problem:
    """Return what the rules need to know of a problem."""
    known: dict[str, Any] = {name: getattr(row, name) for name in _PROBLEM}
    return Problem(**known | {"state": ProblemState(row.state), "scope": Scope(row.scope)})


def silence_of(row: tables.Silence) -> Silence:
    """Return what the rules need to know of a silence."""
    known: dict[str, Any] = {name: getattr(row, name) for name in _SILENCE}
    times = {name: time.fromisoformat(known[name]) if known[name] else None for name in ("from_time", "to_time")}
    return Silence(**known | times | {"weekdays": tuple(row.weekdays)})


def silence_columns(silence: Silence) -> dict[str, Any]:
    """Return the columns of a new silence."""
    columns = columns_of(silence)
    times = {name: columns[name].strftime(_TIME) if columns[name] else "" for name in ("from_time", "to_time")}
    return columns | times | {"weekdays": list(silence.weekdays)}


def columns_of(state: Case | Problem | Silence) -> dict[str, Any]:
    """Return the columns of a row; without its number while the database has not given it one."""
    columns = {field.name: getattr(state, field.name) for field in fields(state)}
    if not state.number:
        del columns["number"]
    return columns


def write(row: tables.Episode | tables.SupportCase | tables.Problem, state: Episode | Case | Problem) -> None:
    """Set the columns of a row that have changed."""
    names = _EPISODE if isinstance(state, Episode) else _CASE if isinstance(state, Case) else _PROBLEM
    for name in names:
        value = getattr(state, name)
        if getattr(row, name) != value:
            setattr(row, name, value)
