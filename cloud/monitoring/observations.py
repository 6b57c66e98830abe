"""Observations: findings that the cloud makes, and the episodes that are open of them."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud import __version__
from cloud.case_service import CaseService
from cloud.cases.observations import severity_of
from cloud.store.tables import CaseState, Episode, EpisodeState, Label, SupportCase
from edge_agent.protocol.faults import FAULTS, DetectorKind, Severity
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
        severity, note = await self._severity(session, key[0], key[1], now)
        finding = _finding(key, Phase.OPEN, str(uuid4()), f"{reason} {note}".strip(), (since, now))
        await self._case_service.apply_finding(session, key[0], finding.model_copy(update={"severity": severity}), now)

    async def clear(self, session: AsyncSession, episode: Episode, reason: str, now: datetime) -> None:
        """Report that the fault of an episode is over."""
        key = (episode.device, episode.fault, episode.component)
        finding = _finding(key, Phase.CLEAR, episode.finding_id, reason, (now, now))
        await self._case_service.apply_finding(session, episode.device, finding, now)

    async def _severity(self, session: AsyncSession, device: str, fault: str, now: datetime) -> tuple[Severity, str]:
        same = (SupportCase.device == device) & (SupportCase.fault == fault) & (SupportCase.state == CaseState.CLOSED)
        last = await session.scalar(select(SupportCase).where(same).order_by(SupportCase.number.desc()).limit(1))
        label = Label(last.label) if last and last.label else None
        return severity_of(fault, label, last.closed_at if last else None, now)


def _finding(
    key: tuple[str, str, str], phase: Phase, finding_id: str, reason: str, times: tuple[datetime, datetime]
) -> Finding:
    """Return a finding; `key` is device, fault and component, `times` are since when and now."""
    _, fault, component = key
    since, now = times
    return Finding(
        finding_id=finding_id,
        fault=fault,
        component=component,
        phase=phase,
        at=Instant(boot_id=_CLOCK, uptime_s=max(0.0, (now - since).total_seconds()), wall=now, synced=True),
        since=Instant(boot_id=_CLOCK, uptime_s=0.0, wall=since, synced=True),
        severity=FAULTS[fault].severity,
        confidence=1.0,
        reason=reason[:_SENTENCE_LENGTH],
        detector=Detector(judge=DetectorKind.RULE, version=f"cloud {__version__}"),
    )
