"""The outbox: durable store-and-forward. A record leaves it only when the cloud says that it is committed there.

What flows in: encoded records. What flows out: the next records of a lane, again and again until acknowledged, and the
numbers of those that are gone, which the agent declares. Findings are on disk before `put` returns. Telemetry waits in
RAM and reaches the disk when it has waited for too long (`tend`) or on a clean stop. Numbers are reserved ahead, and
how far they are used stands in a ledger beside the store too: none is ever used for two records.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.outbox import loss_table, record_table, state_table
from edge_agent.outbox.database import Store
from edge_agent.outbox.loss_table import Gone
from edge_agent.outbox.quota import Room, make_room
from edge_agent.outbox.record_table import Shelved
from edge_agent.outbox.schema import Kind, kind_of
from edge_agent.outbox.sequence_file import Content, Ledger, Used
from edge_agent.outbox.write_buffer import Held
from edge_agent.protocol.topics import Lane

log = logging.getLogger(__name__)

RESERVE = 256  # telemetry numbers reserved ahead with one write, unless the agent knows how fast they are used
LAST_SEQ = 2**40  # no device has had so many records: who names a higher number is mistaken

UNCLEAN = "the agent stopped without writing down what it held in memory"
FELL_BACK = "the store had lost what was written to it last"
NO_ROOM = "the room for what waits on the device was used up"
UNWRITABLE = "the store could not be written for too long"
DAMAGED = "the store that held them was damaged, or went away"
UNREADABLE = "it was damaged in the store"

_ALL = 2**31
_NUMBER = "UPDATE lane SET reserved_up_to = ? WHERE lane = ?"
_ACKED = "UPDATE lane SET acked_up_to = ? WHERE lane = ? AND acked_up_to < ?"
_MOVED = "moved from"  # the name under which it is kept which refuge has moved here, and how far


@dataclass(slots=True)
class _Lane:
    stream: str
    last_seq: int  # the newest number that was given out
    reserved_up_to: int
    acked_up_to: int


class Outbox:
    """One store and its ledger. Not shared between processes; used by one thread."""

    def __init__(self, path: Path | None, room: Room | None = None) -> None:
        """Open or create the store. A damaged one is set aside under a dated name, and `damage` says where and why.

        None keeps everything in memory. Raises InUse when another process has it, OSError or sqlite3.OperationalError
        when it can't be opened now: no permission, disk full.
        """
        self._room = room or Room()
        self._ledger: Ledger | None = None
        self._held = Held()
        path_of_ledger = path.with_name(path.name + ".ledger") if path else None
        self._known = Content()

        def check(db: sqlite3.Connection) -> None:
            if self._ledger is None:  # behind the store's lock: two agents must not write one ledger
                self._ledger = Ledger(path_of_ledger)
                self._known = self._ledger.read()
            _check(db, self._known.lanes)

        self._found: dict[Lane, int] = {}
        try:
            self._store = Store(path, check)
        except BaseException:
            self._close_ledger()
            raise
        try:
            self.damage = self._store.damage  # what was set aside in this run
            self._lanes = self._load()
            self._claim()
        except BaseException:
            self.abandon()
            raise

    def _load(self) -> dict[Lane, _Lane]:
        rows = self._store.db.execute("SELECT lane, stream, reserved_up_to, acked_up_to FROM lane").fetchall()
        return {Lane(lane): _Lane(stream, reserved, reserved, acked) for lane, stream, reserved, acked in rows}

    def _claim(self) -> None:
        """Find out what the last run left: numbers that may be in use and whose records are not here are gone."""
        with self._store.transaction() as db:
            here = {(lane, stream) for lane, stream, _ in loss_table.owed(db)}
            for lane, old in self._known.owed:
                if (lane, old.stream) not in here:
                    loss_table.note(db, lane, old.stream, [(1, old.up_to)], DAMAGED)
            for lane, state in self._lanes.items():
                known = self._known.lanes.get(lane, Used(state.stream, 0))
                if known.stream != state.stream:
                    loss_table.note(db, lane, known.stream, [(1, known.up_to)], DAMAGED)
                elif known.up_to > state.last_seq:  # the store has fallen back behind what was committed
                    state.last_seq = state.reserved_up_to = known.up_to
                    db.execute(_NUMBER, (known.up_to, lane))
                missing = loss_table.missing(db, lane, state.stream, state.acked_up_to, state.last_seq)
                loss_table.note(db, lane, state.stream, missing, UNCLEAN if lane is Lane.TELEMETRY else FELL_BACK)
        self._found = {lane: state.last_seq for lane, state in self._lanes.items()}
        self._note_numbers()

    def _note_numbers(self) -> None:
        owed = tuple((lane, Used(stream, up_to)) for lane, stream, up_to in loss_table.owed(self._store.db))
        in_use = {lane: Used(one.stream, one.reserved_up_to) for lane, one in self._lanes.items()}
        self._known = Content(in_use, owed)
        if self._ledger is not None:
            self._ledger.write(self._known)

    def stream(self, lane: Lane) -> str:
        """Return the lane's stream id, made with the store."""
        return self._lanes[lane].stream

    def base_seq(self, lane: Lane) -> int:
        """Return the lowest number that the cloud has not acknowledged."""
        return self._lanes[lane].acked_up_to + 1

    def last_seq(self, lane: Lane) -> int:
        """Return the highest number that was given out."""
        return self._lanes[lane].last_seq

    def found_up_to(self, lane: Lane) -> int:
        """Return the highest number that was given out before this run."""
        return self._found[lane]

    def waiting(self, lane: Lane) -> int:
        """Return how many numbers of a lane are given out and not acknowledged."""
        return self._lanes[lane].last_seq - self._lanes[lane].acked_up_to

    def put(
        self,
        records: Iterable[bytes],
        standing: Mapping[str, bytes | None] | None = None,
        *,
        given_up: Mapping[Lane, int] | None = None,
        declared: Iterable[Gone] = (),
    ) -> None:
        """Commit findings-lane records; on return they survive a power cut.

        Into the same transaction go `standing` (the body of each finding that is open now, None for one that is over),
        how many records of each lane were `given_up` before they got here (each gets a number, so that it is missed),
        and the losses that the last of `records` declare, in their order.
        """
        bodies, gone, skip = list(records), list(declared), dict.fromkeys(Lane, 0) | dict(given_up or {})
        self._make_room(sum(map(len, bodies)))
        used = {lane: state.last_seq + skip[lane] for lane, state in self._lanes.items()}
        with self._store.transaction() as db:
            state_table.stand(db, standing or {})
            for lane, state in self._lanes.items():
                loss_table.note(db, lane, state.stream, [(state.last_seq + 1, used[lane])], UNWRITABLE)
            record_table.put(db, Lane.FINDINGS, enumerate(bodies, start=used[Lane.FINDINGS] + 1))
            used[Lane.FINDINGS] += len(bodies)
            loss_table.declare(db, gone, used[Lane.FINDINGS] - len(gone) + 1)
            reserved = {lane: max(used[lane], state.reserved_up_to) for lane, state in self._lanes.items()}
            db.executemany(_NUMBER, [(up_to, lane) for lane, up_to in reserved.items()])
        for lane, state in self._lanes.items():
            state.last_seq, state.reserved_up_to = used[lane], reserved[lane]
        if bodies or any(skip.values()):
            self._note_numbers()

    def undeclared(self, limit: int = 64) -> list[Gone]:
        """Return numbers that are gone and that the cloud does not know of yet."""
        return loss_table.undeclared(self._store.db, limit)

    def standing(self) -> dict[str, bytes]:
        """Return the findings that were open when the last run ended, by id."""
        return state_table.standing(self._store.db)

    def learn(self, name: str, body: bytes) -> None:
        """Keep what a judge has learnt of this device, in place of what it knew before."""
        with self._store.transaction() as db:
            state_table.learn(db, {name: body})

    def learnt(self, name: str) -> bytes | None:
        """Return what was last kept under a name."""
        return state_table.learnt(self._store.db).get(name)

    def expect(self, ahead: int = RESERVE) -> None:
        """Have the number of the next telemetry record on disk already, so that it is missed if it never comes.

        `ahead` is how many are reserved at once: few writes against many numbers that a crash may declare needlessly.
        """
        lane = self._lanes[Lane.TELEMETRY]
        if lane.last_seq < lane.reserved_up_to:
            return
        with self._store.transaction() as db:
            db.execute(_NUMBER, (lane.last_seq + ahead, Lane.TELEMETRY))
            self._drop_acked(Lane.TELEMETRY)
        lane.reserved_up_to = lane.last_seq + ahead
        self._note_numbers()

    def hold(self, record: bytes) -> None:
        """Take a telemetry record into RAM under its own number."""
        self.expect()
        lane = self._lanes[Lane.TELEMETRY]
        lane.last_seq += 1
        self._held.add(lane.last_seq, record)
        if self._held.is_too_much:
            self._spill()

    def _spill(self) -> None:
        """RAM is full: write it down, or where that can't be done give the oldest up."""
        try:
            self.flush()
        except sqlite3.OperationalError:
            self._held.give_up_oldest()

    def flush(self) -> None:
        """Write down the telemetry that waits in RAM; on return it survives a power cut."""
        if not self._held.records and not self._held.given_up:
            return
        self._make_room(self._held.size)
        with self._store.transaction() as db:
            record_table.put(db, Lane.TELEMETRY, self._held.records.items())
            given_up = loss_table.ranges(self._held.given_up)
            loss_table.note(db, Lane.TELEMETRY, self.stream(Lane.TELEMETRY), given_up, UNWRITABLE)
            self._drop_acked(Lane.TELEMETRY)
        self._held.written()

    def tend(self, now_s: float, *, connected: bool) -> None:
        """Write telemetry down that has waited for too long: once a link stays away, and then at the set interval.

        `now_s` is any clock that does not step. While the link is there and the cloud acknowledges, nothing is written.
        """
        if self._held.is_due(now_s, self._room.flush_every_s, connected=connected):
            self.flush()

    def after(self, lane: Lane, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the next records of a lane above `seq`, at most `limit`, in order."""
        shelved = record_table.after(self._store.db, lane, seq, limit)
        stored = self._sound(lane, shelved)
        if lane is Lane.TELEMETRY and len(shelved) < limit:  # what is in RAM is newer than what is on disk
            stored += self._held.above(seq)[: limit - len(shelved)]
        return stored

    def losses_after(self, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the next records that declare losses: they close gaps, so they do not wait for what is before them."""
        return self._sound(Lane.FINDINGS, record_table.losses_after(self._store.db, seq, limit))

    def _sound(self, lane: Lane, records: list[Shelved]) -> list[tuple[int, bytes]]:
        """Return those that are as they were written; the others are put aside, and what they declared is not said."""
        for one in records:
            if not one.sound:
                self._put_aside(lane, one.seq, UNREADABLE, one.body)
        return [(one.seq, one.body) for one in records if one.sound]

    def quarantine(self, lane: Lane, seq: int, cause: str) -> bool:
        """Take a record out of the way for good: it is kept to be looked at, and its number is declared as lost.

        Say whether it is out of the way: a loss never is, since what accounts for others has to arrive.
        """
        body = record_table.body_of(self._store.db, lane, seq)
        if body is None and lane is Lane.TELEMETRY:
            body = self._held.records.get(seq)
        if body is not None and kind_of(lane, body) is Kind.LOSS:
            return False
        if body is not None:
            self._put_aside(lane, seq, cause, body)
        return True

    def _put_aside(self, lane: Lane, seq: int, cause: str, body: bytes) -> None:
        with self._store.transaction() as db:
            record_table.quarantine(db, lane, seq, cause, body)
            loss_table.note(db, lane, self.stream(lane), [(seq, seq)], cause)
            if lane is Lane.FINDINGS:
                loss_table.undeclare(db, seq)
        if lane is Lane.TELEMETRY:
            self._held.drop(seq)

    def quarantined(self) -> list[tuple[Lane, int, str]]:
        """Return lane, number and cause of the records that nobody would take, oldest first."""
        return record_table.quarantined(self._store.db)

    def rewrite(self, lane: Lane, above: int, change: Callable[[bytes], bytes | None]) -> int:
        """Change records above a number in place, None for as they are; return how many. They must never have left."""
        stored = self._sound(lane, record_table.after(self._store.db, lane, above, _ALL))
        changed = [(seq, new) for seq, body in stored if (new := change(body)) is not None]
        if changed:
            with self._store.transaction() as db:
                record_table.replace(db, lane, changed)
        held = [] if lane is Lane.FINDINGS else self._held.above(above)
        fresh = {seq: new for seq, body in held if (new := change(body)) is not None}
        self._held.replace(fresh)
        return len(changed) + len(fresh)

    def acknowledge(self, lane: Lane, stream: str, up_to: int) -> int:
        """Let go of what the cloud has committed; return how many numbers were new. Foreign streams are ignored.

        Raises ValueError for a number that no device can have reached.
        """
        state = self._lanes[lane]
        if stream != state.stream or up_to <= state.acked_up_to:
            return 0
        if up_to > state.last_seq:
            return self._overtaken(lane, up_to)
        newly = up_to - state.acked_up_to
        state.acked_up_to = up_to
        if lane is Lane.TELEMETRY:
            self._held.drop_up_to(up_to)
        if lane is Lane.FINDINGS or record_table.holds_up_to(self._store.db, lane, up_to):
            with self._store.transaction():
                self._drop_acked(lane)
            self._store.give_back()
            if self._known.owed:  # it may have been counted
                self._note_numbers()
        return newly

    def _drop_acked(self, lane: Lane) -> None:
        state, db = self._lanes[lane], self._store.db
        db.execute(_ACKED, (state.acked_up_to, lane, state.acked_up_to))
        record_table.drop_up_to(db, lane, state.acked_up_to)
        loss_table.forget(db, lane, state.stream, state.acked_up_to)

    def _overtaken(self, lane: Lane, up_to: int) -> int:
        """The cloud knows numbers of this stream that we don't: we are an old copy of ourselves.

        What waits gets numbers behind those, so that nothing of it is taken for what the cloud has already; so does
        what is lost, so that it is missed.
        """
        state, db = self._lanes[lane], self._store.db
        if up_to > LAST_SEQ:
            raise ValueError(f"{lane}: acknowledged up to {up_to}, which no device can have reached")
        log.warning("the cloud has %s up to %d, we gave out %d: an old copy of the store", lane, up_to, state.last_seq)
        waiting, last_seq = self.after(lane, state.acked_up_to, _ALL), up_to
        with self._store.transaction():
            record_table.clear(db, lane)
            lost = loss_table.take(db, lane, state.stream, state.acked_up_to)
            if lane is Lane.TELEMETRY:
                lost.append((len(self._held.given_up), UNWRITABLE))
            for count, cause in lost:
                loss_table.note(db, lane, state.stream, [(last_seq + 1, last_seq + count)], cause)
                last_seq += count
            record_table.put(db, lane, enumerate((body for _, body in waiting), start=last_seq + 1))
            if lane is Lane.FINDINGS:
                loss_table.moved(db, ((seq, new) for new, (seq, _) in enumerate(waiting, start=last_seq + 1)))
            last_seq += len(waiting)
            db.execute(_NUMBER, (last_seq, lane))
            db.execute(_ACKED, (up_to, lane, up_to))
        if lane is Lane.TELEMETRY:
            self._held.written()
        newly, state.acked_up_to = up_to - state.acked_up_to, up_to
        state.last_seq = state.reserved_up_to = last_seq
        self._note_numbers()
        return newly

    def _make_room(self, need: int) -> None:
        def lose(lane: Lane, numbers: list[int]) -> None:
            loss_table.note(self._store.db, lane, self.stream(lane), loss_table.ranges(numbers), NO_ROOM)

        make_room(self._store, self._room, need, lose)

    def begin_anew(self, reason: str) -> None:
        """The store turned out to be damaged while it was open: set it aside and go on with a new stream."""
        in_use = {lane: Used(one.stream, one.last_seq) for lane, one in self._lanes.items()}
        self._known = Content(in_use, self._known.owed)
        self._store.begin_anew(reason)
        self.damage = self._store.damage
        self._lanes = self._load()
        self._held = Held()
        self._claim()

    def take_over(self, other: "Outbox", stood: Iterable[str] | None) -> None:
        """Take all that waits in another outbox, in one transaction: it gets numbers of ours, so none may have left.

        What it has lost stays to be declared. Of the findings that stood here before, those in `stood` are its to know;
        None where it knew nothing of this store: then what was learnt here is worth more than what it has learnt.
        """
        here = self._moved_from(other)
        above = {lane: max(here[lane], other.base_seq(lane) - 1) for lane in Lane}
        waiting = {lane: [body for _, body in other.after(lane, above[lane], _ALL)] for lane in Lane}
        findings = waiting[Lane.FINDINGS]
        waiting[Lane.FINDINGS] = [body for body in findings if kind_of(Lane.FINDINGS, body) is not Kind.LOSS]
        used = {lane: state.last_seq + len(waiting[lane]) for lane, state in self._lanes.items()}
        self._make_room(sum(len(body) for bodies in waiting.values() for body in bodies))
        with self._store.transaction() as db:
            moved = [other.stream(Lane.FINDINGS), *(other.last_seq(lane) for lane in Lane)]
            state_table.learn(db, state_table.learnt(other._store.db), anew=stood is not None)
            state_table.learn(db, {_MOVED: json.dumps(moved).encode()})  # the other may know of an earlier move
            state_table.stand(db, dict.fromkeys(stood or ()) | other.standing())
            for lane, state in self._lanes.items():
                record_table.put(db, lane, enumerate(waiting[lane], start=state.last_seq + 1))
                db.execute(_NUMBER, (used[lane], lane))
                unwritten = loss_table.ranges(other._held.given_up if lane is Lane.TELEMETRY else ())
                loss_table.note(db, lane, other.stream(lane), unwritten, UNWRITABLE)
            for lane, stream, first, last, cause in loss_table.all_of(other._store.db):
                loss_table.note(db, lane, stream, [(first, last)], cause)
        for lane, state in self._lanes.items():
            state.last_seq = state.reserved_up_to = used[lane]
        self._note_numbers()

    def _moved_from(self, other: "Outbox") -> dict[Lane, int]:
        """Return how far another outbox has moved here: a transaction may fail after it has reached the disk."""
        stream, *up_to = json.loads(self.learnt(_MOVED) or b'[""]')
        return dict(zip(Lane, up_to, strict=True)) if stream == other.stream(Lane.FINDINGS) else dict.fromkeys(Lane, 0)

    def close(self) -> None:
        """Write what is in RAM and give the unused numbers back: the next start finds nothing missing."""
        lane = self._lanes[Lane.TELEMETRY]
        try:
            self.flush()
            with self._store.transaction() as db:
                db.execute(_NUMBER, (lane.last_seq, Lane.TELEMETRY))
                self._drop_acked(Lane.TELEMETRY)
            lane.reserved_up_to = lane.last_seq
            self._note_numbers()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the files as they are: nothing is written down."""
        self._close_ledger()
        self._store.close()

    def _close_ledger(self) -> None:
        if self._ledger is not None:
            self._ledger.close()


def _check(db: sqlite3.Connection, known: Mapping[Lane, Used]) -> None:
    """Raise sqlite3.DatabaseError when the rows of the lanes can't be right."""
    rows = db.execute(
        "SELECT lane, stream, reserved_up_to, acked_up_to,"
        " (SELECT coalesce(max(seq), 0) FROM record WHERE record.lane = lane.lane) FROM lane"
    ).fetchall()
    if {row[0] for row in rows} != set(Lane):
        raise sqlite3.DatabaseError(f"it has lanes {[row[0] for row in rows]}")
    for lane, stream, reserved, acked, newest in rows:
        used = known.get(Lane(lane))
        if not 0 <= acked <= reserved or newest > reserved:
            raise sqlite3.DatabaseError(f"{lane}: acknowledged up to {acked}, given out up to {reserved} of {newest}")
        if used and used.stream != stream and reserved:
            raise sqlite3.DatabaseError(f"{lane}: its stream {stream!r} is not the one that was used")
