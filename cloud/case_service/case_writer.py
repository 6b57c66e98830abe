"""Case writer: a case, the lines of its timeline and its followers are written together."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import make_transient_to_detached

from cloud.case_service.followers import CaseChange, CaseFollower
from cloud.case_service.rows import case_of, columns_of, episode_of, write
from cloud.cases import cases
from cloud.cases.cases import Case, TimelineEntry
from cloud.cases.episodes import Episode, EpisodeState
from cloud.store import tables

SYSTEM = "forewarn"  # the actor of what no person did


_INSERT = insert(tables.SupportCase.__table__).returning(tables.SupportCase.__table__.c.number)  # type: ignore[arg-type]


class CaseWriter:
    """The only place where cases are written."""

    def __init__(self, followers: Sequence[CaseFollower]) -> None:
        self._followers = tuple(followers)

    async def open(
        self, session: AsyncSession, case: Case, entries: Sequence[TimelineEntry], now: datetime
    ) -> tables.SupportCase:
        """Insert a case; the database numbers it. What else the session holds is written later, many rows at once."""
        columns = columns_of(case) | {"merged_episodes": [], "version": 1}
        with session.no_autoflush:
            number = await session.scalar(_INSERT, columns)
        row = tables.SupportCase(**columns, number=number)
        make_transient_to_detached(row)  # it is in the database already
        session.add(row)
        await self._written(
            session, CaseChange(before=None, after=case_of(row), entries=tuple(entries), actor=SYSTEM, now=now)
        )
        return row

    async def save(
        self,
        session: AsyncSession,
        row: tables.SupportCase,
        outcome: tuple[Case, Sequence[TimelineEntry]],
        actor: str,
        now: datetime,
    ) -> None:
        """Write what the rules made of a case. Nothing is written, and nobody called, if they changed nothing."""
        before, (after, entries) = case_of(row), outcome
        if after == before and not entries:
            return
        write(row, after)
        await self._written(
            session, CaseChange(before=before, after=after, entries=tuple(entries), actor=actor, now=now)
        )

    async def recompute(
        self, session: AsyncSession, number: int, timeline: Sequence[TimelineEntry], now: datetime
    ) -> None:
        """Let a case follow its episodes: what happened to them first, then what that means for the case."""
        row = await session.get_one(tables.SupportCase, number, with_for_update=True)
        of_case = select(tables.Episode).where(
            tables.Episode.case_number == number, tables.Episode.state == EpisodeState.FIRING
        )
        firing = [episode_of(each) for each in await session.scalars(of_case)]
        await self.follow(session, row, firing, timeline, now)

    async def follow(
        self,
        session: AsyncSession,
        row: tables.SupportCase,
        firing: Sequence[Episode],
        timeline: Sequence[TimelineEntry],
        now: datetime,
    ) -> None:
        """The same, with the episodes that fire at hand."""
        case, entries = cases.recompute_severity(case_of(row), firing, now)
        await self.save(session, row, (case, (*timeline, *entries)), SYSTEM, now)

    async def _written(self, session: AsyncSession, change: CaseChange) -> None:
        for entry in change.entries:
            session.add(
                tables.CaseEntry(
                    case_number=change.after.number,
                    at=change.now,
                    actor=change.actor,
                    kind=entry.kind,
                    text=entry.text,
                    detail=dict(entry.detail),
                )
            )
        for follower in self._followers:
            await follower.case_changed(session, change)
