"""Intake: messages of devices become one transaction.

What flows in: messages that have been read. What flows out: how far each stream is committed. A message comes
at least once, in any order; what it says takes effect exactly once, in the order of its numbers: a record waits
in the database until none before it is missing, and a number that is stored is never stored again.
What can't be read is dead-lettered with its cause, and its number counts as stored, so that it blocks nothing. A
message that makes the transaction fail is found by taking each of its neighbours alone, and is dead-lettered as well.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from cloud.case_service import CaseService
from cloud.cases.episodes import dated
from cloud.ingest.parsing import DEAD_LETTERED, Arrived, Delivery, Item, read
from cloud.store import streams
from cloud.store.database import Database, is_trouble
from cloud.store.streams import AHEAD_MAX, SPANS_MAX, Row, StreamKey, StreamProgress
from cloud.store.tables import Device, RecordRow, TelemetryChunk
from edge_agent.protocol import topics
from edge_agent.protocol.records import Evidence, Finding, Loss, Presence, read_record
from edge_agent.protocol.topics import Lane

DEAD_LETTERS_MAX = 1000
KNOWN_MAX = 100_000  # streams whose progress is remembered
FOREIGN_MAX = 16  # streams a day of which a device may declare losses although it has not been heard to use them
SEEN_STEP = timedelta(seconds=5)  # when a device has last spoken is written down no more often
FORGOTTEN = (
    "the device let go of them after an acknowledgement that this database does not know: it is new or was restored"
)
_INT4_MAX = 2**31 - 1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What messages led to: what to acknowledge, how much was dead-lettered, whether a person could see a change."""

    stored: Mapping[StreamKey, int] = field(default_factory=dict)  # up to which number all of a stream is committed
    dead_lettered: int = 0
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that can't be taken."""

    cause: str


class Read(NamedTuple):
    """A message and how it was understood."""

    arrived: Arrived
    said: Delivery | Presence | Refused


class Intake:
    """Takes the messages of all devices, one batch after the other."""

    def __init__(
        self, database: Database, case_service: CaseService, *, dead_letters_max: int = DEAD_LETTERS_MAX
    ) -> None:
        self._database = database
        self._case_service = case_service
        self._dead_letters_max = dead_letters_max
        self._known = Known()

    async def take(self, batch: Sequence[Read]) -> Outcome:
        """Commit what messages say. Raises what `is_trouble` knows if the database can't; they are to be sent again."""
        try:
            return await self._commit(batch)
        except Exception as error:
            if is_trouble(error):
                raise
        outcomes = [await self._take_alone(message) for message in batch]
        return Outcome(
            stored={key: up_to for outcome in outcomes for key, up_to in outcome.stored.items()},
            dead_lettered=sum(outcome.dead_lettered for outcome in outcomes),
            changed=any(outcome.changed for outcome in outcomes),
        )

    async def _take_alone(self, message: Read) -> Outcome:
        """Find the message that no transaction survives, and set it aside; its neighbours are good."""
        try:
            return await self._commit([message])
        except Exception as error:
            if is_trouble(error) or isinstance(message.said, Refused):
                raise
            log.exception("a message on %s could not be taken: this is our fault", message.arrived.topic)
            return await self._commit([Read(message.arrived, Refused(f"could not be taken: {error}"))])

    async def _commit(self, messages: Sequence[Read]) -> Outcome:
        try:
            async with self._database.begin() as session:
                transaction = _Transaction(session, self._case_service, self._dead_letters_max, self._known)
                outcome = await transaction.take(messages)
        except Exception:
            self._known.forget()
            raise
        self._known.learn(transaction.progress, transaction.seen)
        return outcome


def understood(message: Arrived) -> Read:
    """Read a message; what can't be read is a reason to refuse it."""
    try:
        return Read(message, read(message))
    except (ValueError, OverflowError, RecursionError) as error:
        return Read(message, Refused(str(error)))
    except Exception as error:
        log.exception("a message on %s could not be read: this is our fault", message.topic)
        return Read(message, Refused(f"could not be read: {error}"))


class Known:
    """What the database said at the last commit, so that it need not be asked again.

    This process is the only one that takes messages. Were there another one, what it stores would collide with the keys
    of the tables; then all this is forgotten, and the database asked.
    """

    def __init__(self) -> None:
        self._progress: dict[StreamKey, StreamProgress] = {}
        self._seen: dict[str, datetime] = {}
        self._foreign: dict[str, set[StreamKey]] = {}
        self._foreign_on: date | None = None

    def progress(self, keys: Iterable[StreamKey]) -> dict[StreamKey, StreamProgress]:
        """Return copies of those that are known."""
        return {key: progress.copy() for key in keys if (progress := self._progress.get(key))}

    def admits(self, key: StreamKey, today: date) -> bool:
        """Whether a stream may be opened only because a device has named it in a loss."""
        if today != self._foreign_on:
            self._foreign.clear()
            self._foreign_on = today
        foreign = self._foreign.setdefault(key.device, set())
        if key not in self._progress and len(foreign) < FOREIGN_MAX:
            foreign.add(key)
        return key in self._progress or key in foreign

    def is_news(self, device: str, at: datetime) -> bool:
        """Whether it is worth writing down that a device has spoken."""
        last = self._seen.get(device)
        return last is None or at - last >= SEEN_STEP or at < last

    def learn(self, progress: dict[StreamKey, StreamProgress], seen: dict[str, datetime]) -> None:
        """Remember what is committed."""
        if len(self._progress) + len(progress) > KNOWN_MAX or len(self._seen) + len(seen) > KNOWN_MAX:
            self.forget()
        self._progress |= progress
        self._seen |= seen

    def forget(self) -> None:
        """Know nothing."""
        self._progress.clear()
        self._seen.clear()


class _Transaction:
    """One batch on its way into the database."""

    def __init__(self, session: AsyncSession, case_service: CaseService, dead_letters_max: int, known: Known) -> None:
        self._session, self._case_service, self._dead_letters_max, self._known = (
            session,
            case_service,
            dead_letters_max,
            known,
        )
        self.progress: dict[StreamKey, StreamProgress] = {}
        self.seen: dict[str, datetime] = {}
        self._lost: list[Row] = []
        self._dead_letters: list[Row] = []

    async def take(self, messages: Sequence[Read]) -> Outcome:
        """Store what is new, see how far all is complete, apply what became complete, and acknowledge."""
        now = messages[-1].arrived.at
        delivered = [(arrived, said) for arrived, said in messages if isinstance(said, Delivery)]
        for arrived, said in messages:
            if isinstance(said, Refused):
                self._dead_letter(arrived, arrived.payload, said.cause)
        changed = await self._note_presence([(a, said) for a, said in messages if isinstance(said, Presence)])
        if delivered:
            before = await self._open(delivered, now)
            await self._store(delivered)
            await self._close_gaps([said for _, said in delivered], now)
            changed |= await self._move_on(before, now)
        await streams.add_dead_letters(self._session, self._dead_letters, self._dead_letters_max)
        stored = {key: progress.up_to for key, progress in self.progress.items()}
        return Outcome(
            stored=stored, dead_lettered=len(self._dead_letters), changed=changed or bool(self._dead_letters)
        )

    async def _note_presence(self, presences: Sequence[tuple[Arrived, Presence]]) -> bool:
        """Keep who is there. A retained message and a last will are older than their arrival: their own date counts."""
        if not presences:
            return False
        named = [(topics.parse(arrived.topic).device, said, arrived.at) for arrived, said in presences]
        await streams.add_new_devices(self._session, {device: at for device, _, at in named})
        rows = await streams.device_rows(self._session, {device for device, _, _ in named})
        changed = [_note(rows[device], said, at) for device, said, at in named]
        await self._session.flush()
        return any(changed)

    async def _open(self, delivered: Sequence[tuple[Arrived, Delivery]], now: datetime) -> dict[StreamKey, int]:
        """Find out how far the streams have come that this is about."""
        keys = {said.key for _, said in delivered}
        losses = [(said.key.device, item.loss) for _, said in delivered for item in said.items if item.loss]
        lost = {StreamKey(device, loss.lane, loss.stream) for device, loss in losses}
        keys |= {key for key in sorted(lost - keys) if self._known.admits(key, now.date())}
        spoke = {said.key.device: arrived.at for arrived, said in delivered}
        self.seen = {device: at for device, at in spoke.items() if self._known.is_news(device, at)}
        await streams.mark_devices_seen(self._session, self.seen)
        self.progress = self._known.progress(keys)
        self.progress |= await streams.progress_of(self._session, sorted(keys - self.progress.keys()), now)
        return {key: progress.up_to for key, progress in self.progress.items()}

    async def _store(self, delivered: Sequence[tuple[Arrived, Delivery]]) -> None:
        """Keep the records that are new, and look at those whose number was there already."""
        chunks: list[Row] = []
        records: list[Row] = []
        repeated: dict[StreamKey, list[tuple[Arrived, Item]]] = {}
        for arrived, said in delivered:
            progress = self.progress[said.key]
            for item in said.items:
                if progress.holds(item.seq):
                    repeated.setdefault(said.key, []).append((arrived, item))
                elif why := self._declare(said.key.device, item.loss, arrived.at) if item.loss else None:
                    self._dead_letter(arrived, item.content, f"record {item.seq}: {why}")
                elif progress.is_crowded_before(item.seq):
                    if not item.loss:  # which counts already, so that others can go on; it comes again to be stored
                        self._dead_letter(
                            arrived, item.content, f"record {item.seq}: {AHEAD_MAX} wait behind a gap already"
                        )
                else:
                    progress.add(item.seq)
                    if item.problem:
                        self._dead_letter(arrived, item.content, f"record {item.seq}: {item.problem}")
                    (chunks if item.start_at else records).append(_row(said.key, item, arrived.at))
        await streams.add(self._session, TelemetryChunk, chunks)
        await streams.add(self._session, RecordRow, records)
        for key, items in repeated.items():
            await self._compare(key, items)

    def _declare(self, device: str, loss: Loss, now: datetime) -> str | None:
        """Count what a loss says, or say why not now; it is not stored then, and its device sends it again."""
        key = StreamKey(device, loss.lane, loss.stream)
        progress = self.progress.get(key)
        if progress is None:
            return f"{FOREIGN_MAX} streams that this device was not heard to use have lost something today already"
        if not progress.can_lose(loss.first_seq, loss.last_seq):
            return f"{SPANS_MAX} losses wait for what lies between them already"
        self._lose(key, loss.first_seq, loss.last_seq, loss.reason, now)
        return None

    async def _compare(self, key: StreamKey, items: Sequence[tuple[Arrived, Item]]) -> None:
        """Dead-letter records whose number was used for another one; of some nothing is left to compare with."""
        stored = await streams.contents(self._session, key, {item.seq for _, item in items})
        for arrived, item in items:
            if not _is_same(item.content, stored.get(item.seq)):
                cause = f"record {item.seq}: the number was used before, for another record, which is kept"
                self._dead_letter(arrived, item.content, cause)

    async def _close_gaps(self, delivered: Iterable[Delivery], now: datetime) -> None:
        """Count as lost what devices can't send any more although it never came, too."""
        for said in delivered:
            self._lose(said.key, 1, said.base_seq - 1, FORGOTTEN, now)
        if self._lost:
            await streams.declare_lost(self._session, self._lost)

    def _lose(self, key: StreamKey, first_seq: int, last_seq: int, reason: str, now: datetime) -> None:
        """Count numbers as lost; what is stored already without a gap is none of them."""
        progress = self.progress[key]
        first_seq = max(first_seq, progress.up_to + 1)
        if first_seq <= last_seq and progress.lose(first_seq, last_seq):
            numbers = {"first_seq": first_seq, "last_seq": last_seq}
            self._lost.append({**key._asdict(), **numbers, "reason": reason, "declared_at": now})

    async def _move_on(self, before: dict[StreamKey, int], now: datetime) -> bool:
        """Note how far streams have come, and apply the findings and evidence that became complete, in order."""
        moved = {key: progress.up_to for key, progress in self.progress.items() if progress.up_to > before[key]}
        await streams.advance_streams(self._session, moved)
        findings = [key for key in moved if key.lane is Lane.FINDINGS]
        for key in findings:
            await self._apply(key, before[key], moved[key], now)
        return bool(findings)

    async def _apply(self, key: StreamKey, before: int, up_to: int, now: datetime) -> None:
        for row in await streams.records_between(self._session, key, before, up_to, ("finding", "evidence")):
            seq, body = row.seq, row.body
            try:
                async with self._session.begin_nested():
                    await self._apply_one(key.device, body, now)
            except Exception as error:
                if is_trouble(error):
                    raise
                if not isinstance(error, ValueError | OverflowError):
                    log.exception("record %d of %s could not be applied: this is our fault", seq, key.device)
                arrived = Arrived(topics.topic(key.device, key.lane), b"", now)
                self._dead_letter(arrived, body, f"record {seq}: could not be applied: {error}")
            else:
                if body["kind"] == "evidence":
                    row.body = _reference(body)

    async def _apply_one(self, device: str, body: dict[str, Any], now: datetime) -> None:
        record = read_record(body)
        if isinstance(record, Finding):
            await self._case_service.apply_finding(self._session, device, record, now)
        elif isinstance(record, Evidence):
            await self._case_service.apply_evidence(self._session, device, record, now)

    def _dead_letter(self, arrived: Arrived, content: dict[str, Any] | bytes, cause: str) -> None:
        """Set a message, or one record of it, aside."""
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._dead_letters.append(
            {"received_at": arrived.at, "topic": arrived.topic, "cause": cause, "payload": payload}
        )


def _note(row: Device, said: Presence, received_at: datetime) -> bool:
    """Write down what a device says of itself; say whether it came or went."""
    row.last_seen = max(row.last_seen, dated(said.at, received_at))
    changed = row.presence_at is None or row.presence != said.state
    if changed:
        row.presence, row.presence_at = said.state, received_at
    row.agent, row.model, row.firmware, row.hardware = said.agent, said.model, said.firmware, said.hardware
    row.boot_id, row.metrics = said.at.boot_id[:64], min(said.metrics, _INT4_MAX)
    return changed


def _row(key: StreamKey, item: Item, received_at: datetime) -> Row:
    row = {"device": key.device, "stream": key.stream, "seq": item.seq, "received_at": received_at}
    if item.start_at:
        return row | {"start_at": item.start_at, "body": item.content}
    body = {DEAD_LETTERED: item.problem} if item.problem else item.content
    return row | {"lane": key.lane, "kind": item.kind, "body": body}


def _is_same(content: dict[str, Any] | bytes, stored: dict[str, Any] | bytes | None) -> bool:
    """Whether a record came before, as far as that can still be told."""
    if stored is None or stored == content or (isinstance(stored, dict) and DEAD_LETTERED in stored):
        return True
    return isinstance(content, dict) and stored == _reference(content)


def _reference(evidence: dict[str, Any]) -> dict[str, Any]:
    """What stays of an evidence record when its content has gone into the evidence table: where it is, and its hash."""
    digest = hashlib.sha256(json.dumps(evidence, sort_keys=True).encode()).hexdigest()
    names = ("kind", "evidence_id", "part")
    return {name: evidence.get(name) for name in names} | {"content_sha256": digest}
