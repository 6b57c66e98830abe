"""Device watch: applies the rules of absence to all devices.

Each look reads a few columns of every device that is not healthy at first sight, and the episodes that are open.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.absence import COMPONENTS, AbsenceRules, Connection, Sighting, find_absence, is_back
from cloud.monitoring.observations import Observer
from cloud.store.tables import SYSTEM_DEVICE, Device, Episode, EpisodeState

_COLUMNS = (Device.device, Device.presence, Device.presence_at, Device.telemetry_at, Device.telemetry_every_s)
_REDUCED = "agent.over_budget"


class DeviceWatch:
    """Opens and closes absences."""

    def __init__(self, observer: Observer, rules: AbsenceRules) -> None:
        self._observer, self._rules = observer, rules

    async def look(self, session: AsyncSession, listening_since: datetime, now: datetime) -> bool:
        """Evaluate all devices; return whether anything changed."""
        lasting = await self._observer.open_episodes(session, COMPONENTS)
        reduced = await _reduced(session)
        known = await _sightings(session, Device.device.in_([each.device for each in lasting]), reduced)
        changed = False
        for episode in lasting:
            if over := is_back(episode.fault, known[episode.device], episode.first_at):
                await self._observer.clear(session, episode, over, now)
                changed = True
        quiet = await _sightings(session, self._is_quiet(now), reduced)
        still = {(each.device, each.fault) for each in lasting}
        for device, sighting in quiet.items():
            absence = find_absence(sighting, listening_since, self._rules, now)
            if absence and (device, absence.fault) not in still:
                key = (device, absence.fault, absence.component)
                await self._observer.open(session, key, absence.reason, absence.since, now)
                changed = True
        return changed

    def _is_quiet(self, now: datetime) -> ColumnElement[bool]:
        """Select all that could be absent: disconnected for long enough, or without telemetry for the least limit."""
        away = (Device.presence == Connection.OFFLINE) & (
            Device.presence_at <= now - timedelta(seconds=self._rules.absent_after_s)
        )
        expected = Device.telemetry_every_s.is_not(None) | Device.telemetry_at.is_not(None)
        late = now - timedelta(seconds=self._rules.stalled_after_s)
        stalled = (
            (Device.presence != Connection.GOING_DOWN)
            & expected
            & (Device.telemetry_at.is_(None) | (Device.telemetry_at <= late))
        )
        return (Device.device != SYSTEM_DEVICE) & (away | stalled)


async def _sightings(
    session: AsyncSession, wanted: ColumnElement[bool], reduced: frozenset[str]
) -> Mapping[str, Sighting]:
    found = await session.execute(select(*_COLUMNS).where(wanted))
    return {row.device: _sighting(row, row.device in reduced) for row in found}


def _sighting(row: Any, is_reduced: bool) -> Sighting:
    known = row.presence in set(Connection)
    return Sighting(
        connection=Connection(row.presence) if known else Connection.OFFLINE,
        connection_at=row.presence_at,
        telemetry_at=row.telemetry_at,
        telemetry_every_s=row.telemetry_every_s,
        is_reduced=is_reduced,
    )


async def _reduced(session: AsyncSession) -> frozenset[str]:
    """The devices that have reported that they send less."""
    lasting = (Episode.state != EpisodeState.RESOLVED) & Episode.cleared_at.is_(None)
    return frozenset(await session.scalars(select(Episode.device).where(Episode.fault == _REDUCED, lasting)))
