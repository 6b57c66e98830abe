"""Intake: one message of a device becomes one transaction, and an acknowledgement of what is committed.

What flows in: topic, payload and the time of arrival. What flows out: the acknowledgement to publish. A message comes
at least once, in any order; what it says takes effect exactly once, in the order of its numbers: a record waits in the
database until none before it is missing, and a number that is stored is never stored again.
What can't be read is parked with its cause, and its number counts as stored, so that it is in nobody's way.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from cloud.casebook import Casebook
from cloud.episodes import dated
from cloud.reading import PARKED, Delivery, Item, Key, read
from cloud.store import deliveries
from cloud.store.database import Database
from cloud.store.tables import LossRow, Parked, RecordRow, TelemetryChunk
from edge_agent.protocol import topics
from edge_agent.protocol.records import Ack, Evidence, Finding, LaneAck, Loss, Presence, read_record
from edge_agent.protocol.topics import Lane

PARKED_MAX = 1000
FORGOTTEN = (
    "the device let go of them after an acknowledgement that this database does not know: it is new or was restored"
)
_INT4_MAX = 2**31 - 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a message led to: an acknowledgement for its device, and whether a person could see a difference."""

    ack: Ack | None = None
    changed: bool = False


class Intake:
    """Takes the messages of all devices, one after the other."""

    def __init__(self, database: Database, casebook: Casebook, *, parked_max: int = PARKED_MAX) -> None:
        self._database = database
        self._casebook = casebook
        self._parked_max = parked_max

    async def take(self, topic: str, payload: bytes, received_at: datetime) -> Outcome:
        """Commit what a message says. Raises SQLAlchemyError if the database can't; nothing has happened then."""
        try:
            message = read(topic, payload, received_at)
        except (ValueError, OverflowError) as error:
            return await self.park(topic, payload, str(error), received_at)
        async with self._begin(topic, received_at) as transaction:
            if isinstance(message, Delivery):
                return await transaction.deliver(message)
            return await transaction.note_presence(topics.parse(topic).device, message)

    async def park(self, topic: str, payload: bytes, cause: str, received_at: datetime) -> Outcome:
        """Set a whole message aside."""
        async with self._begin(topic, received_at) as transaction:
            await transaction.park(payload, cause)
        return Outcome(changed=True)

    @asynccontextmanager
    async def _begin(self, topic: str, received_at: datetime) -> AsyncIterator["_Transaction"]:
        async with self._database.begin() as session:
            yield _Transaction(session, self._casebook, self._parked_max, topic, received_at)


@dataclass(frozen=True, slots=True)
class _Transaction:
    """One message on its way into the database."""

    session: AsyncSession
    casebook: Casebook
    parked_max: int
    topic: str
    now: datetime  # when the message came in

    async def deliver(self, message: Delivery) -> Outcome:
        """Store what is new, see how far all is complete, apply what became complete, and acknowledge."""
        key = message.key
        device = await deliveries.device_row(self.session, key.device, self.now)
        device.last_seen = max(device.last_seen, self.now)
        stream = await deliveries.stream_row(self.session, key, self.now)
        before = stream.stored_up_to
        losses = await self._store(message, before)
        up_to = stream.stored_up_to = await self._complete(message, before)
        await self._apply(key, before, up_to)
        lanes = await self._other_lanes(key, losses)
        lanes[key.lane] = LaneAck(stream=key.stream, up_to=up_to)
        return Outcome(ack=Ack(lanes=lanes), changed=key.lane is Lane.FINDINGS and up_to > before)

    async def note_presence(self, device: str, said: Presence) -> Outcome:
        """Keep who is there. A retained message and a last will are older than their arrival: their own date counts."""
        row = await deliveries.device_row(self.session, device, self.now)
        row.last_seen = max(row.last_seen, dated(said.at, self.now))
        changed = row.presence_at is None or row.presence != said.state
        if changed:
            row.presence, row.presence_at = said.state, self.now
        row.agent, row.model, row.firmware, row.hardware = said.agent, said.model, said.firmware, said.hardware
        row.boot_id, row.metrics = said.at.boot_id[:64], min(said.metrics, _INT4_MAX)
        return Outcome(changed=changed)

    async def park(self, content: dict[str, Any] | bytes, cause: str) -> None:
        """Set a message, or one record of it, aside."""
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        row = Parked(received_at=self.now, topic=self.topic, cause=cause, payload=payload)
        await deliveries.park(self.session, row, self.parked_max)

    async def _store(self, message: Delivery, before: int) -> list[Loss]:
        """Keep the records that are new; return the losses among them, which count at once: they close gaps."""
        first, last = message.items[0].seq, message.items[-1].seq
        known = await deliveries.contents(self.session, message.key, first, last)
        losses = []
        for item in message.items:
            if item.seq in known or item.seq <= before:
                await self._compare(item, known.get(item.seq))
                continue
            if item.problem:
                await self.park(item.content, f"record {item.seq}: {item.problem}")
            if item.loss:
                losses.append(item.loss)
                await deliveries.declare_lost(self.session, _loss_row(message.key.device, item.loss, self.now))
            self.session.add(_row(message.key, item, self.now))
        return losses

    async def _compare(self, item: Item, stored: dict[str, Any] | bytes | None) -> None:
        """Park a record whose number was used for another one; of some nothing is left to compare with."""
        if stored is None or stored == item.content or (isinstance(stored, dict) and PARKED in stored):
            return
        cause = f"record {item.seq}: the number was used before, for another record, which is kept"
        await self.park(item.content, cause)

    async def _complete(self, message: Delivery, before: int) -> int:
        """Return up to which number all is stored; what the device can't send any more is counted as lost."""
        up_to = await deliveries.complete_up_to(self.session, message.key, before)
        if message.base_seq <= up_to + 1:
            return up_to
        forgotten = LossRow(
            **message.key._asdict(),
            first_seq=up_to + 1,
            last_seq=message.base_seq - 1,
            reason=FORGOTTEN,
            declared_at=self.now,
        )
        await deliveries.declare_lost(self.session, forgotten)
        return await deliveries.complete_up_to(self.session, message.key, before)

    async def _apply(self, key: Key, before: int, up_to: int) -> None:
        """Apply the findings and evidence that became complete, in the order of their numbers."""
        if key.lane is not Lane.FINDINGS:
            return
        for row in await deliveries.records_between(self.session, key, before, up_to, ("finding", "evidence")):
            seq, body = row.seq, row.body
            try:
                async with self.session.begin_nested():
                    await self._apply_one(key.device, body)
            except (OperationalError, InterfaceError):
                raise  # the database's trouble, not the record's: the device sends it again
            except Exception as error:
                if not isinstance(error, ValueError | OverflowError):
                    log.exception("record %d of %s could not be applied: this is our fault", seq, key.device)
                await self.park(body, f"record {seq}: could not be applied: {error}")

    async def _apply_one(self, device: str, body: dict[str, Any]) -> None:
        record = read_record(body)
        if isinstance(record, Finding):
            await self.casebook.apply_finding(self.session, device, record, self.now)
        elif isinstance(record, Evidence):
            await self.casebook.apply_evidence(self.session, device, record, self.now)

    async def _other_lanes(self, key: Key, losses: list[Loss]) -> dict[Lane, LaneAck]:
        """Move the other streams on whose gaps were closed by these losses."""
        acks = {}
        for other in {Key(key.device, loss.lane, loss.stream) for loss in losses} - {key}:
            stream = await deliveries.stream_row(self.session, other, self.now)
            stream.stored_up_to = await deliveries.complete_up_to(self.session, other, stream.stored_up_to)
            acks[other.lane] = LaneAck(stream=other.stream, up_to=stream.stored_up_to)
        return acks


def _row(key: Key, item: Item, received_at: datetime) -> RecordRow | TelemetryChunk:
    if isinstance(item.content, bytes) and item.start_at:
        return TelemetryChunk(
            device=key.device,
            stream=key.stream,
            seq=item.seq,
            start_at=item.start_at,
            body=item.content,
            received_at=received_at,
        )
    body = {PARKED: item.problem} if item.problem else item.content
    return RecordRow(**key._asdict(), seq=item.seq, kind=item.kind, body=body, received_at=received_at)


def _loss_row(device: str, loss: Loss, received_at: datetime) -> LossRow:
    return LossRow(
        device=device,
        lane=loss.lane,
        stream=loss.stream,
        first_seq=loss.first_seq,
        last_seq=loss.last_seq,
        reason=loss.reason,
        declared_at=received_at,
    )
