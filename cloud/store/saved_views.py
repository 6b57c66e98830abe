"""Saved views: filters with a name, personal or shared, and how many cases fit each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.cases import Refused
from cloud.store.case_filter import CaseFilter, conditions
from cloud.store.search_tables import SavedView
from cloud.store.tables import SupportCase

MOST_VIEWS = 20  # of one person; more would be no overview
MOST_COUNTED = 999
LONGEST_NAME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A saved view as the inbox shows it."""

    id: int
    name: str
    filter: str
    owner: str
    shared: bool


async def views_of(session: AsyncSession, account: str) -> tuple[View, ...]:
    """The views that a person sees: their own first, then those that others share, by name."""
    visible = or_(SavedView.owner == account, SavedView.shared)
    rows = await session.scalars(select(SavedView).where(visible).order_by(SavedView.name, SavedView.id))
    views = [_view(row) for row in rows]
    return tuple(sorted(views, key=lambda view: view.owner != account))[: 2 * MOST_VIEWS]


async def counts(session: AsyncSession, filters: Sequence[CaseFilter]) -> list[int]:
    """How many cases fit each filter, in one statement; more than MOST_COUNTED are not counted further."""
    if not filters:
        return []
    limited = (
        select(literal(1)).select_from(SupportCase).where(*conditions(each)).limit(MOST_COUNTED + 1).subquery()
        for each in filters
    )
    row = await session.execute(select(*(select(func.count()).select_from(each).scalar_subquery() for each in limited)))
    return list(row.one())


async def save(session: AsyncSession, account: str, name: str, text: str, *, shared: bool, now: datetime) -> None:
    """Save a view; one of the same name is replaced. Raises Refused."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME:
        raise Refused(f"Enter a name for the view, of at most {LONGEST_NAME} characters.")
    own = (await session.scalars(select(SavedView).where(SavedView.owner == account))).all()
    known = next((row for row in own if row.name == name), None)
    if known:
        known.filter, known.shared = text, shared
    elif len(own) >= MOST_VIEWS:
        raise Refused(f"You have {MOST_VIEWS} views. Delete one before you save another.")
    else:
        session.add(SavedView(owner=account, name=name, filter=text, shared=shared, created_at=now))


async def delete(session: AsyncSession, account: str, view_id: int) -> View:
    """Delete a view and return it. Raises LookupError, or Refused if it is somebody else's."""
    row = await session.get(SavedView, view_id)
    if row is None or (row.owner != account and not row.shared):
        raise LookupError(f"There is no view {view_id}.")
    if row.owner != account:
        raise Refused(f"“{row.name}” is {row.owner}'s view. Ask {row.owner} to delete it.")
    await session.delete(row)
    return _view(row)


def _view(row: SavedView) -> View:
    return View(id=row.id, name=row.name, filter=row.filter, owner=row.owner, shared=row.shared)
