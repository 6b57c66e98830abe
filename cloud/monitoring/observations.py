"""Observations: findings that the cloud makes, and the episodes that are open of them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud import __version__
from cloud.case_service import CaseService
from cloud.store.tables import Episode, EpisodeState
from edge_agent.protocol.faults import FAULTS, DetectorKind
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import Detector, Finding, Phase

_CLOCK = "the cloud"  # instead of a boot
_SENTENCE_LENGTH = 2000  # of the wire


class Observer:
    """Opens and clears what the cloud observes. One fault on one component of a device is open at most once."""

    def __init__(self, case_service: CaseService) -> None:
        self._case_service = case_service

    async def open_episodes(self, session: AsyncSession, faults: Collection[str]) -> Sequence[Episode]:
        """Return the episodes of these faults that last."""
        lasting = (Episode.state != EpisodeState.RESOLVED) & Episode.cleared_at.is_(None)
        return (await session.scalars(select(Episode).where(Episode.fault.in_(faults), lasting))).all()

    async def open(
        self, session: AsyncSession, key: tuple[str, str, str], reason: str, since: datetime, now: datetime
    ) -> None:
        """Report a fault; `key` is device, fault and component."""
        await self._apply(session, key, (Phase.OPEN, str(uuid4())), reason, (since, now))

    async def clear(self, session: AsyncSession, episode: Episode, reason: str, now: datetime) -> None:
        """Report that the fault of an episode is over."""
        key = (episode.device, episode.fault, episode.component)
        await self._apply(session, key, (Phase.CLEAR, episode.finding_id), reason, (now, now))

    async def _apply(
        self,
        session: AsyncSession,
        key: tuple[str, str, str],
        phase: tuple[Phase, str],
        reason: str,
        times: tuple[datetime, datetime],
    ) -> None:
        device, fault, component = key
        since, now = times
        finding = Finding(
            finding_id=phase[1],
            fault=fault,
            component=component,
            phase=phase[0],
            at=Instant(boot_id=_CLOCK, uptime_s=max(0.0, (now - since).total_seconds()), wall=now, synced=True),
            since=Instant(boot_id=_CLOCK, uptime_s=0.0, wall=since, synced=True),
            severity=FAULTS[fault].severity,
            confidence=1.0,
            reason=reason[:_SENTENCE_LENGTH],
            detector=Detector(judge=DetectorKind.RULE, version=f"cloud {__version__}"),
        )
        await self._case_service.apply_finding(session, device, finding, now)
