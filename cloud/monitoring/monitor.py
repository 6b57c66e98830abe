"""Monitor: one look at devices, ingest and dead letters, every few seconds."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.absence import AbsenceRules
from cloud.cases.pipeline import PipelineRules
from cloud.ingest import Counters, IngestHealth
from cloud.monitoring.device_watch import DeviceWatch
from cloud.monitoring.drop_watch import DropWatch
from cloud.monitoring.observations import Observer
from cloud.monitoring.pipeline_watch import PipelineWatch

LOOK_EVERY_S = 5.0
_PAUSED = timedelta(seconds=6 * LOOK_EVERY_S)  # between two looks: this process was stopped, or the machine slept


class Monitor:
    """Lets time pass for what nobody reports."""

    def __init__(
        self,
        case_service: CaseService,
        health: IngestHealth,
        counters: Counters,
        absence: AbsenceRules,
        pipeline: PipelineRules,
    ) -> None:
        observer = Observer(case_service)
        self._health = health
        self._drops = DropWatch(observer, counters, pipeline)
        self._devices = DeviceWatch(observer, absence)
        self._pipeline = PipelineWatch(observer, pipeline)
        self._looked_at: datetime | None = None
        self._awake_since: datetime | None = None

    async def tick(self, session: AsyncSession, now: datetime) -> bool:
        """Look at everything; return whether anything changed."""
        self._note_pause(now)
        changed = await self._pipeline.look_at_ingest(session, self._health.state, now)
        changed |= await self._pipeline.look_at_dead_letters(session, now)
        changed |= await self._drops.look(session, now)
        listening_since = self._health.listening_since(now)
        if listening_since and self._awake_since:
            changed |= await self._devices.look(session, max(listening_since, self._awake_since), now)
        return changed

    def _note_pause(self, now: datetime) -> None:
        """Count silence from the end of a pause: what devices sent meanwhile has not been read yet."""
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at <= _PAUSED:
            self._awake_since = now
        self._looked_at = now
