"""Followers of cases: what else happens in the transaction that changes a case.

What flows in: each change of a case, with the lines of its timeline. What flows out: whatever a follower writes into
the same session; it is committed with the change, or not at all.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.cases import Case, TimelineEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseChange:
    """One change of one case."""

    before: Case | None  # None: the case has just been opened
    after: Case  # equal to `before` if only lines were added to the timeline
    entries: tuple[TimelineEntry, ...]
    actor: str  # an account's name, or SYSTEM
    now: datetime


class CaseFollower(Protocol):
    """What is called for every change of a case. An error rolls the change back."""

    async def case_changed(self, session: AsyncSession, change: CaseChange) -> None:
        """Add what follows from the change to the session."""
