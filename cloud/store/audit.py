"""The audit log: writes down every change that a person makes, with before and after, in the transaction of the change.

What flows in: who acts (set once for a request) and the rows that a session writes. What flows out: audit entries in
the same session: committed with the change, or not at all. A session without an actor, as the ingest's, is not audited.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, UOWTransaction

from cloud.store import tables
from cloud.store.inventory_tables import CustomerRow, SiteRow
from cloud.store.outcome_tables import SensitivityProposal
from cloud.store.people_tables import ApiToken, AuditEntry
from cloud.store.search_tables import SavedView


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who makes a change: the account, how and from where, what they asked for, and when."""

    name: str
    source: str
    what: str
    at: datetime


@dataclass(slots=True)
class _Changed:
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Audited:
    """How a table's rows are called, and which columns say nothing about what a person did."""

    name: str
    key: str
    leave_out: frozenset[str] = frozenset()
    secret: frozenset[str] = frozenset()  # of these only that they changed
    only: frozenset[str] = frozenset()  # of these columns, if any is named


_OF_REPORTS = frozenset(
    {"first_seen", "last_seen", "presence", "presence_at", "telemetry_at", "telemetry_every_s", "metrics", "boot_id"}
)
_OF_EDITS = frozenset({"version", "changed_at", "changed_by"})

AUDITED: Mapping[type[tables.Base], _Audited] = {
    tables.SupportCase: _Audited("case", "number", frozenset({"updated_at", "version"})),
    tables.Problem: _Audited("problem", "number"),
    tables.Silence: _Audited("silence", "number", frozenset({"created_at"})),
    tables.Device: _Audited("device", "device", _OF_REPORTS),
    tables.Episode: _Audited("episode", "id", only=frozenset({"acknowledged_by"})),
    tables.Account: _Audited(
        "account", "name", frozenset({"created_at", "last_login_at"}), frozenset({"password_hash"})
    ),
    SensitivityProposal: _Audited("sensitivity proposal", "id", frozenset({"effect"})),
    CustomerRow: _Audited("customer", "name", _OF_EDITS),
    SiteRow: _Audited("site", "name", _OF_EDITS),
    SavedView: _Audited("view", "id", frozenset({"created_at"})),
    ApiToken: _Audited("token", "id", frozenset({"last_used_at"}), frozenset({"secret_hash"})),
}
_TIMELINES = {tables.CaseEntry: ("case", "case_number"), tables.ProblemEntry: ("problem", "problem_number")}
SECRET = "(secret)"  # noqa: S105  what stands for one
_ACTOR, _PENDING = "actor", "audit entries to write"  # keys of a session

_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


def act_as(actor: Actor) -> None:
    """Let every transaction that begins in this context from now on be this actor's."""
    _acting.set(actor)


@contextmanager
def nobody_acts() -> Iterator[None]:
    """Surround a request: who acts in it acts no longer after it."""
    before = _acting.set(None)
    try:
        yield
    finally:
        _acting.reset(before)


def session_info(actor: Actor | None = None) -> dict[Any, Any]:
    """Return what a session must carry to be audited."""
    actor = actor or _acting.get()
    return {_ACTOR: actor, _PENDING: {}} if actor else {}


class AuditedSession(Session):
    """A session that writes its audit entries before it commits."""


def record(
    session: AsyncSession, subject: str, before: Mapping[str, Any] | None = None, after: Mapping[str, Any] | None = None
) -> None:
    """Write down what the rows alone do not tell. Without an actor nothing is written."""
    if _PENDING in session.info:
        _put(session.info, subject, before or {}, after or {})


def _put(info: Mapping[Any, Any], subject: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    changed = info[_PENDING].setdefault(subject, _Changed())
    changed.before = {**before, **changed.before}  # what was there first
    changed.after |= after


def _collect(session: Session, _context: UOWTransaction) -> None:
    if _PENDING not in session.info:
        return
    for row in (*session.new, *session.dirty, *session.deleted):
        if type(row) in _TIMELINES:
            name, key = _TIMELINES[type(row)]
            subject = f"{name} {getattr(row, key)}"
            written = session.info[_PENDING].get(subject, _Changed()).after.get("timeline", [])
            _put(session.info, subject, {}, {"timeline": [*written, row.text]})
        elif audited := AUDITED.get(type(row)):
            before, after = _difference(row, audited, is_gone=row in session.deleted, is_new=row in session.new)
            if before or after:
                _put(session.info, f"{audited.name} {getattr(row, audited.key)}", before, after)


def _difference(
    row: object, audited: _Audited, *, is_gone: bool, is_new: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    state = inspect(row)
    for column in state.mapper.column_attrs:
        name = column.key
        if name in audited.leave_out or (audited.only and name not in audited.only):
            continue
        history = state.attrs[name].history
        if is_gone:
            before[name] = _plain(name, getattr(row, name), audited)
        elif is_new and history.added and history.added[0] not in (None, "", [], {}):
            after[name] = _plain(name, history.added[0], audited)
        elif not is_new and history.has_changes():
            before[name] = _plain(name, history.deleted[0] if history.deleted else None, audited)
            after[name] = _plain(name, history.added[0] if history.added else None, audited)
    return before, after


def _plain(name: str, value: Any, audited: _Audited) -> Any:
    """Return a value as JSON has it; of a secret only that there is one."""
    if name in audited.secret:
        return SECRET
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, bool | int | float | list | dict | None) else str(value)


def _write(session: Session) -> None:
    if not session.info.get(_ACTOR) or session.in_nested_transaction():
        return
    session.flush()
    actor: Actor = session.info[_ACTOR]
    pending, session.info[_PENDING] = session.info[_PENDING], {}
    for subject, changed in pending.items():
        session.add(
            AuditEntry(
                at=actor.at,
                actor=actor.name,
                source=actor.source[:200],
                what=actor.what[:100],
                subject=subject[:280],
                before=changed.before,
                after=changed.after,
            )
        )


event.listen(AuditedSession, "after_flush", _collect)
event.listen(AuditedSession, "before_commit", _write)
