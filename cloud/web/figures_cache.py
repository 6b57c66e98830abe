"""The figures of cases, kept for as long as they are worth it.

What flows in: a period. What flows out: the report, the trends and the heat of its cases, and when they were made.
What takes a quarter of a second or less is made anew for each reader. What takes longer is kept for twenty times as
long as it took, then made again in the background; readers get the kept figures meanwhile, and the page says of when.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.figure_trend import Heat, Trend, heat, trends
from cloud.cases.figures import Report, report
from cloud.store import figures_queries, fleet_queries
from cloud.store.database import Database
from cloud.store.fleet_queries import ModelLine

FREE_S = 0.25
KEPT_TIMES = 20
MOST_DETECTORS, MOST_FAULTS, MOST_MODELS = 8, 40, 12
MOST_WATCHED_MODELS = 20
MOST_KEPT = 16  # periods


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFigures:
    """All figures of the cases that were opened in a period."""

    report: Report
    trends: tuple[Trend, ...]
    heat: Heat
    models: tuple[ModelLine, ...]  # that are watched
    at: datetime


@dataclass(frozen=True, slots=True)
class _Kept:
    figures: FleetFigures
    made_at: float  # monotonic
    took_s: float


class FiguresCache:
    """The figures by the number of days that they cover."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}
        self._making: dict[int, asyncio.Task[FleetFigures]] = {}

    async def get(self, database: Database, now: datetime, days: int) -> FleetFigures:
        """Return the figures of the last days."""
        kept = self._kept.get(days)
        if kept is None or kept.took_s <= FREE_S:
            return await asyncio.shield(self._make(database, now, days))
        if time.monotonic() - kept.made_at > KEPT_TIMES * kept.took_s:
            self._make(database, now, days)
        return kept.figures

    def _make(self, database: Database, now: datetime, days: int) -> asyncio.Task[FleetFigures]:
        if days not in self._making:
            task = asyncio.create_task(self._measure(database, now, days))
            self._making[days] = task
            task.add_done_callback(lambda _: self._making.pop(days, None))
        return self._making[days]

    async def _measure(self, database: Database, now: datetime, days: int) -> FleetFigures:
        began = time.monotonic()
        async with database.read() as session:
            figures = await figures_of_period(session, now, days)
        if len(self._kept) >= MOST_KEPT and days not in self._kept:
            self._kept.pop(min(self._kept, key=lambda one: self._kept[one].made_at))
        self._kept[days] = _Kept(figures, time.monotonic(), time.monotonic() - began)
        return figures


async def figures_of_period(session: AsyncSession, now: datetime, days: int) -> FleetFigures:
    """Return the figures of the last days. The arithmetic is done in a thread: other readers shall not wait for it."""
    since = now - timedelta(days=days)
    facts = await figures_queries.case_facts(session, since, now)
    watched = await figures_queries.watched(session, since, now)
    seen = await figures_queries.sightings(session, since, now)
    models = await fleet_queries.models(session, MOST_WATCHED_MODELS)

    def made() -> FleetFigures:
        return FleetFigures(
            report=report(facts, watched, seen),
            trends=trends(facts, since, now, MOST_DETECTORS),
            heat=heat(facts, MOST_FAULTS, MOST_MODELS),
            models=models,
            at=now,
        )

    return await asyncio.to_thread(made)
