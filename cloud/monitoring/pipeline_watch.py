"""Pipeline watch: opens cases about the cloud itself, when the ingest stops or dead letters pile up."""

from collections import defaultdict
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.cases.pipeline import (
    ABOVE_LIMIT,
    DEAD_LETTERS,
    STOPPED,
    IngestState,
    Letter,
    PipelineRules,
    find_dead_letters,
    find_stop,
)
from cloud.monitoring.observations import Observer
from cloud.store.streams import add_new_devices
from cloud.store.tables import SYSTEM_DEVICE, DeadLetter, Device, Episode
from edge_agent.protocol.topics import ROOT

_COMPONENT_LENGTH = 200  # of the store's column


class PipelineWatch:
    """Opens and closes cases about the ingest and its dead letters."""

    def __init__(self, observer: Observer, rules: PipelineRules) -> None:
        self._observer, self._rules = observer, rules

    async def look_at_ingest(self, session: AsyncSession, state: IngestState, now: datetime) -> bool:
        """Evaluate the state of the ingest; return whether anything changed."""
        lasting = {each.component: each for each in await self._observer.open_episodes(session, (STOPPED,))}
        stop = find_stop(state, self._rules, now)
        changed = False
        for component, episode in lasting.items():
            if stop is None or stop.component != component:
                await self._observer.clear(session, episode, "Messages are received and committed again.", now)
                changed = True
        if stop and stop.component not in lasting:
            await add_new_devices(session, {SYSTEM_DEVICE: now})
            await self._observer.open(session, (SYSTEM_DEVICE, STOPPED, stop.component), stop.reason, stop.since, now)
            changed = True
        return changed

    async def look_at_dead_letters(self, session: AsyncSession, now: datetime) -> bool:
        """Evaluate the dead letters of each topic; return whether anything changed."""
        open_episodes = await self._observer.open_episodes(session, (DEAD_LETTERS,))
        lasting = {each.component: each for each in open_episodes if not each.component.endswith(ABOVE_LIMIT)}
        letters = await self._recent(session, now)
        changed = False
        for topic, found in letters.items():
            component = _component(topic)
            reason = find_dead_letters(found, self._rules, now)
            if reason and component not in lasting:
                await self._open(session, topic, reason, found[0].at, now)
                changed = True
        with_letters = {_component(topic) for topic in letters}
        for component, episode in lasting.items():
            if component not in with_letters:
                await self._clear(session, episode, now)
                changed = True
        return changed

    async def _open(self, session: AsyncSession, topic: str, reason: str, since: datetime, now: datetime) -> None:
        """Open a case on the device that the topic names, if it is known, and on the cloud itself if not."""
        device = topic.removeprefix(f"{ROOT}/").partition("/")[0]
        if await session.get(Device, device) is None:
            device = SYSTEM_DEVICE
            await add_new_devices(session, {SYSTEM_DEVICE: now})
        await self._observer.open(session, (device, DEAD_LETTERS, _component(topic)), reason, since, now)

    async def _clear(self, session: AsyncSession, episode: Episode, now: datetime) -> None:
        reason = "No record of this topic has been set aside since."
        await self._observer.clear(session, episode, reason, now)

    async def _recent(self, session: AsyncSession, now: datetime) -> dict[str, list[Letter]]:
        since = now - timedelta(seconds=self._rules.dead_letters_window_s)
        columns = (DeadLetter.topic, DeadLetter.received_at, DeadLetter.cause, func.length(DeadLetter.payload))
        query = select(*columns).where(DeadLetter.received_at >= since).order_by(DeadLetter.id)
        found: dict[str, list[Letter]] = defaultdict(list)
        for topic, at, cause, size in await session.execute(query):
            found[topic].append(Letter(at=at, cause=cause, size=size))
        return found


def _component(topic: str) -> str:
    return topic.removeprefix(f"{ROOT}/")[:_COMPONENT_LENGTH] or "an empty topic"
