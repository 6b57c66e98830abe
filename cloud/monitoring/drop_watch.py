"""Drop watch: opens a case for a device whose messages are dropped again and again, because it sends too many.

The counts are those of this process. They are compared over a window that starts anew when it is over.
"""

from collections import Counter
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.pipeline import ABOVE_LIMIT, DEAD_LETTERS, PipelineRules, find_drops
from cloud.ingest import Counters
from cloud.monitoring.observations import Observer
from cloud.store.tables import Device


class DropWatch:
    """Opens and closes cases about devices that exceed their limits."""

    def __init__(self, observer: Observer, counters: Counters, rules: PipelineRules) -> None:
        self._observer, self._counters, self._rules = observer, counters, rules
        self._began_at: datetime | None = None
        self._began_with: Counter[str] = Counter()

    async def look(self, session: AsyncSession, now: datetime) -> bool:
        """Evaluate what was dropped in this window; return whether anything changed."""
        began_at = self._began_at or now
        dropped = self._counters.above_limit - self._began_with
        open_episodes = await self._observer.open_episodes(session, (DEAD_LETTERS,))
        lasting = {each.device: each for each in open_episodes if each.component.endswith(ABOVE_LIMIT)}
        changed = False
        for device, count in dropped.items():
            reason = find_drops(count, self._rules)
            if reason and device not in lasting and await session.get(Device, device) is not None:
                await self._observer.open(session, (device, DEAD_LETTERS, device + ABOVE_LIMIT), reason, began_at, now)
                changed = True
        if self._is_over(began_at, now):
            for device in lasting.keys() - dropped.keys():
                reason = "It has kept to its limits for a whole window."
                await self._observer.clear(session, lasting[device], reason, now)
                changed = True
        return changed

    def _is_over(self, began_at: datetime, now: datetime) -> bool:
        """Start a new window at the first look and at the end of each; return whether one has ended."""
        is_over = now - began_at >= timedelta(seconds=self._rules.dead_letters_window_s)
        if is_over or self._began_at is None:
            self._began_at, self._began_with = now, self._counters.above_limit.copy()
        return is_over
