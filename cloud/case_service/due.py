"""Due: which rows the passing of time changes now, as conditions for the database."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, case, literal, or_
from sqlalchemy.types import TypeEngine

from cloud.cases.cases import CaseState
from cloud.cases.episodes import EpisodeState
from cloud.cases.rules import Rules, Thresholds
from cloud.store.tables import Episode, SupportCase, UtcDateTime
from edge_agent.protocol.faults import Severity


def due_episodes(rules: Rules, now: datetime) -> ColumnElement[bool]:
    """Select the episodes that `on_time_passed` would change: hold-down or debounce over, or impact nearer."""
    there = Episode.cleared_at.is_(None)
    away = Episode.cleared_at <= _by_fault(rules, lambda each: now - _seconds(each.hold_down_s), UtcDateTime())
    near = [
        there & Episode.severity.in_(_raised_to(severity)) & (at < now + timedelta(seconds=limit_s))
        for severity, limit_s in rules.limits()
        for at in (Episode.impact_low_at, Episode.impact_at)
    ]
    return (Episode.state != EpisodeState.RESOLVED) & or_(there & _may_fire(rules, now), away, *near)


def due_reminders(now: datetime) -> ColumnElement[bool]:
    """Select the snoozed cases whose time has come."""
    return (SupportCase.state == CaseState.PENDING_REMINDER) & (SupportCase.reminder_at <= now)


def _may_fire(rules: Rules, now: datetime) -> ColumnElement[bool]:
    """Pending for long enough, sure enough, and not suppressed."""
    lasted = Episode.first_at <= _by_fault(rules, lambda each: now - _seconds(each.debounce_s), UtcDateTime())
    is_sure = Episode.confidence >= _by_fault(rules, lambda each: each.open_above, Float())
    is_critical = Episode.severity == Severity.CRITICAL
    return (
        (Episode.state == EpisodeState.PENDING)
        & (Episode.severity != Severity.INFO)
        & (is_critical | (lasted & is_sure))
        & (Episode.suppressed_until.is_(None) | (Episode.suppressed_until <= now))
    )


def _by_fault(rules: Rules, value: Callable[[Thresholds], Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """Return a value that depends on the thresholds of an episode's fault."""
    default = literal(value(rules.thresholds("")), kind)
    if not rules.faults:
        return default
    own = {fault: literal(value(rules.thresholds(fault)), kind) for fault in rules.faults}
    return case(own, value=Episode.fault, else_=default)


def _seconds(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def _raised_to(severity: Severity) -> list[Severity]:
    """The severities that an impact raises to this one; a note stays one."""
    return [other for other in Severity if other.rank > severity.rank and other is not Severity.INFO]
