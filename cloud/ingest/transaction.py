"""Transaction: what one batch of messages changes in the database.

What flows in: parsed messages. What flows out: how far each stream is stored. A message arrives at least once, in any
order; it takes effect exactly once, in the order of its records' numbers: a record is applied when none before it is
missing, and a number that is stored is never stored again. Invalid messages and records are dead-lettered with their
cause; the number of an invalid record counts as stored, so that it does not block its stream.
"""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.ingest.parsing import Delivery, ParsedMessage, ParsedRecord, ReceivedMessage, Rejected
from cloud.ingest.rows import (
    connection_event,
    device_events,
    device_in,
    evidence_reference,
    is_same_record,
    record_row,
    update_device,
)
from cloud.ingest.stream_cache import FOREIGN_MAX, StreamCache
from cloud.store import streams
from cloud.store.database import is_trouble
from cloud.store.outcome_tables import DeviceEvent
from cloud.store.streams import AHEAD_MAX, SPANS_MAX, Row, StreamKey, StreamProgress
from cloud.store.tables import RecordRow, TelemetryChunk
from edge_agent.protocol import topics
from edge_agent.protocol.faults import OBSERVED_BY_CLOUD
from edge_agent.protocol.records import Evidence, Finding, Loss, Presence, read_record
from edge_agent.protocol.topics import Lane

FORGOTTEN = "the device deleted them after an acknowledgement that is not in this database: it is new or was restored"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteResult:
    """What a batch led to: acknowledgements, dead letters, and whether the console shows a change."""

    stored_up_to: Mapping[StreamKey, int] = field(default_factory=dict)  # all records up to this number are committed
    dead_lettered: int = 0
    changed: bool = False


class BatchTransaction:
    """One batch in an open transaction."""

    def __init__(
        self, session: AsyncSession, case_service: CaseService, dead_letters_max: int, cache: StreamCache
    ) -> None:
        self._session, self._case_service = session, case_service
        self._dead_letters_max, self._cache = dead_letters_max, cache
        self.progress: dict[StreamKey, StreamProgress] = {}
        self.seen: dict[tuple[str, Lane], datetime] = {}
        self._losses: list[Row] = []
        self._dead_letters: list[Row] = []

    async def write(self, messages: Sequence[ParsedMessage]) -> WriteResult:
        """Store what is new, find how far each stream is complete, and apply what became complete."""
        now = messages[-1].received.at
        deliveries = [(received, content) for received, content in messages if isinstance(content, Delivery)]
        for received, content in messages:
            if isinstance(content, Rejected):
                self._dead_letter(received, received.payload, content.cause)
        presences = [(received, content) for received, content in messages if isinstance(content, Presence)]
        changed = await self._update_presence(presences)
        if deliveries:
            before = await self._load_progress(deliveries, now)
            await self._store(deliveries)
            await self._store_losses([delivery for _, delivery in deliveries], now)
            changed |= await self._advance(before, now)
        await streams.add_dead_letters(self._session, self._dead_letters, self._dead_letters_max)
        return WriteResult(
            stored_up_to={key: progress.up_to for key, progress in self.progress.items()},
            dead_lettered=len(self._dead_letters),
            changed=changed or bool(self._dead_letters),
        )

    async def _update_presence(self, presences: Sequence[tuple[ReceivedMessage, Presence]]) -> bool:
        """Store presence; return whether a device went online or offline.

        A retained message or a last will was written before it arrived: last_seen is taken from its own date.
        """
        if not presences:
            return False
        by_device = [(topics.parse(received.topic).device, presence, received.at) for received, presence in presences]
        await streams.add_new_devices(self._session, {device: at for device, _, at in by_device})
        rows = await streams.device_rows(self._session, {device for device, _, _ in by_device})
        changed = []
        for device, presence, at in by_device:
            events, before = device_events(rows[device], presence, at), rows[device].presence
            changed.append(update_device(rows[device], presence, at))
            if changed[-1]:
                events.append(connection_event(device, before, presence, at))
            await streams.insert(self._session, DeviceEvent, events)
        await self._session.flush()
        return any(changed)

    async def _load_progress(
        self, deliveries: Sequence[tuple[ReceivedMessage, Delivery]], now: datetime
    ) -> dict[StreamKey, int]:
        """Load the progress of all streams that the batch concerns; return how far they were complete."""
        keys = {delivery.key for _, delivery in deliveries}
        losses = [(each.key.device, record.loss) for _, each in deliveries for record in each.records if record.loss]
        lost = {StreamKey(device, loss.lane, loss.stream) for device, loss in losses}
        keys |= {key for key in sorted(lost - keys) if self._cache.admits(key, now.date())}
        await self._mark_seen(deliveries)
        self.progress = self._cache.progress(keys)
        self.progress |= await streams.load_progress(self._session, sorted(keys - self.progress.keys()), now)
        return {key: progress.up_to for key, progress in self.progress.items()}

    async def _mark_seen(self, deliveries: Sequence[tuple[ReceivedMessage, Delivery]]) -> None:
        last_seen = {(delivery.key.device, delivery.key.lane): received.at for received, delivery in deliveries}
        self.seen = {key: at for key, at in last_seen.items() if self._cache.is_last_seen_due(*key, at)}
        by_device: dict[str, datetime] = {}
        for (device, _), at in self.seen.items():
            by_device[device] = max(at, by_device.get(device, at))
        telemetry = {device for device, lane in self.seen if lane is Lane.TELEMETRY}
        await streams.mark_devices_seen(self._session, by_device, telemetry)

    async def _store(self, deliveries: Sequence[tuple[ReceivedMessage, Delivery]]) -> None:
        """Insert the new records, and compare those whose number is stored already."""
        chunks: list[Row] = []
        records: list[Row] = []
        repeated: dict[StreamKey, list[tuple[ReceivedMessage, ParsedRecord]]] = {}
        for received, delivery in deliveries:
            progress = self.progress[delivery.key]
            for record in delivery.records:
                if progress.holds(record.seq):
                    repeated.setdefault(delivery.key, []).append((received, record))
                elif self._accepts(received, delivery.key, record):
                    progress.add(record.seq)
                    if record.problem:
                        self._dead_letter(received, record.content, f"record {record.seq}: {record.problem}")
                    (chunks if record.start_at else records).append(record_row(delivery.key, record, received.at))
        await streams.insert(self._session, TelemetryChunk, chunks)
        await streams.insert(self._session, RecordRow, records)
        for key, same_numbers in repeated.items():
            await self._compare(key, same_numbers)

    def _accepts(self, received: ReceivedMessage, key: StreamKey, record: ParsedRecord) -> bool:
        """Whether a record fits behind the gaps of its stream; dead-letter it if not.

        A declared loss counts even if its own record does not fit, so that its gap closes; the device sends it again.
        """
        problem = self._declare(key.device, record.loss, received.at) if record.loss else None
        is_too_far_ahead = not problem and self.progress[key].is_too_far_ahead(record.seq)
        if is_too_far_ahead and not record.loss:
            problem = f"{AHEAD_MAX} records wait behind a gap already"
        if problem:
            self._dead_letter(received, record.content, f"record {record.seq}: {problem}")
        return not problem and not is_too_far_ahead

    def _declare(self, device: str, loss: Loss, now: datetime) -> str | None:
        """Count a declared loss, or return why it does not count yet; its device then sends it again."""
        key = StreamKey(device, loss.lane, loss.stream)
        progress = self.progress.get(key)
        if progress is None:
            return f"losses in {FOREIGN_MAX} streams that this device has never used were declared today already"
        if not progress.can_lose(loss.first_seq, loss.last_seq):
            return f"{SPANS_MAX} losses wait behind gaps already"
        self._lose(key, loss.first_seq, loss.last_seq, loss.reason, now)
        return None

    async def _compare(self, key: StreamKey, records: Sequence[tuple[ReceivedMessage, ParsedRecord]]) -> None:
        """Dead-letter records whose number is used by a different stored record."""
        stored = await streams.stored_contents(self._session, key, {record.seq for _, record in records})
        for received, record in records:
            if not is_same_record(record.content, stored.get(record.seq)):
                cause = f"record {record.seq}: the number was used before, for another record, which is kept"
                self._dead_letter(received, record.content, cause)

    async def _store_losses(self, deliveries: Iterable[Delivery], now: datetime) -> None:
        """Insert the declared losses, and those of numbers below `base_seq`, which the device can't send any more."""
        for delivery in deliveries:
            self._lose(delivery.key, 1, delivery.base_seq - 1, FORGOTTEN, now)
        if self._losses:
            await streams.insert_losses(self._session, self._losses)

    def _lose(self, key: StreamKey, first_seq: int, last_seq: int, reason: str, now: datetime) -> None:
        """Count numbers as lost, without those up to which the stream is complete."""
        progress = self.progress[key]
        first_seq = max(first_seq, progress.up_to + 1)
        if first_seq <= last_seq and progress.lose(first_seq, last_seq):
            numbers = {"first_seq": first_seq, "last_seq": last_seq}
            self._losses.append({**key._asdict(), **numbers, "reason": reason, "declared_at": now})

    async def _advance(self, before: dict[StreamKey, int], now: datetime) -> bool:
        """Save progress, and apply the findings and evidence that became complete; return whether there were any."""
        moved = {key: progress.up_to for key, progress in self.progress.items() if progress.up_to > before[key]}
        await streams.save_progress(self._session, moved)
        findings = [key for key in moved if key.lane is Lane.FINDINGS]
        rows = [
            (key, row)
            for key in findings
            for row in await streams.records_between(
                self._session, key, before[key], moved[key], ("finding", "evidence")
            )
        ]
        await self._apply(rows, now)
        return bool(findings)

    async def _apply(self, rows: Sequence[tuple[StreamKey, RecordRow]], now: datetime) -> None:
        """Apply all records in one savepoint, so that their rows are written together; each in its own if one fails."""
        try:
            async with self._session.begin_nested():
                for key, row in rows:
                    await self._apply_one(key.device, row.body, now)
        except Exception as error:
            if is_trouble(error):
                raise
            self._case_service.forget_reads(self._session)
            applied = [row for key, row in rows if await self._is_applied(key, row, now)]
        else:
            applied = [row for _, row in rows]
        for row in applied:
            if row.body["kind"] == "evidence":
                row.body = evidence_reference(row.body)

    async def _is_applied(self, key: StreamKey, row: RecordRow, now: datetime) -> bool:
        """Apply one record in a savepoint of its own; dead-letter it and return False if it can't be."""
        try:
            async with self._session.begin_nested():
                await self._apply_one(key.device, row.body, now)
        except Exception as error:
            if is_trouble(error):
                raise
            self._case_service.forget_reads(self._session)
            if not isinstance(error, ValueError | OverflowError):
                log.exception("record %d of %s could not be applied: this is a bug", row.seq, key.device)
            received = ReceivedMessage(topics.topic(key.device, key.lane), b"", now)
            self._dead_letter(received, row.body, f"record {row.seq}: could not be applied: {error}")
            return False
        return True

    async def _apply_one(self, device: str, body: dict[str, Any], now: datetime) -> None:
        record = read_record(body)
        if isinstance(record, Finding):
            if record.fault in OBSERVED_BY_CLOUD:
                raise ValueError(f"fault: only the cloud itself reports {record.fault}")
            await self._case_service.apply_finding(self._session, device, record, now)
        elif isinstance(record, Evidence):
            await self._case_service.apply_evidence(self._session, device, record, now)

    def _dead_letter(self, received: ReceivedMessage, content: dict[str, Any] | bytes, cause: str) -> None:
        """Add a message, or one record of it, to the dead letters."""
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._dead_letters.append(
            {
                "received_at": received.at,
                "topic": received.topic,
                "device": device_in(received.topic),
                "cause": cause,
                "payload": payload,
            }
        )
