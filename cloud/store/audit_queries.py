"""Queries of the audit log."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.store.people_tables import AuditEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which entries are wanted; what is empty does not restrict. `before` is an entry's number: older ones only."""

    actor: str = ""
    subject: str = ""  # exactly, or all of a kind: "case" finds "case 7"
    what: str = ""  # how it begins
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None


async def audit_entries(session: AsyncSession, wanted: AuditFilter, limit: int) -> Sequence[AuditEntry]:
    """Return entries, the newest first."""
    query = select(AuditEntry).where(*_conditions(wanted)).order_by(AuditEntry.id.desc()).limit(limit)
    return (await session.scalars(query)).all()


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    row = AuditEntry
    conditions: list[ColumnElement[bool]] = []
    if wanted.actor:
        conditions.append(row.actor == wanted.actor)
    if wanted.subject:
        conditions.append(
            (row.subject == wanted.subject) | row.subject.startswith(f"{wanted.subject} ", autoescape=True)
        )
    if wanted.what:
        conditions.append(row.what.startswith(wanted.what, autoescape=True))
    if wanted.since:
        conditions.append(row.at >= wanted.since)
    if wanted.until:
        conditions.append(row.at < wanted.until)
    if wanted.before is not None:
        conditions.append(row.id < wanted.before)
    return conditions
