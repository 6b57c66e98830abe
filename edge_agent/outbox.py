"""The outbox: durable store-and-forward. A record leaves it only when the cloud says that it is committed there.

What flows in: encoded records. What flows out: the next records of a lane, again and again until acknowledged.
Findings are on disk before `put` returns. Telemetry waits in RAM and reaches the disk on a clean stop; what a crash
takes of it is declared as a loss at the next start. Numbers are reserved ahead: none is ever used for two records.
"""

import fcntl
import os
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.protocol.topics import Lane

RESERVE = 256  # telemetry numbers reserved ahead with one write
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE lane (                 -- one row a lane: its stream, and how far numbers may have been used
    lane TEXT PRIMARY KEY,
    stream TEXT NOT NULL,
    reserved_up_to INTEGER NOT NULL,
    acked_up_to INTEGER NOT NULL,
    clean INTEGER NOT NULL          -- 1 after a clean stop: reserved_up_to is exact then
) STRICT;
CREATE TABLE record (               -- what the cloud has not acknowledged yet
    lane TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE learnt (               -- what the judges know of this device, by name
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE standing (             -- findings that are open, so that a restart neither forgets nor repeats them
    finding_id TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""

_NUMBER = "UPDATE lane SET reserved_up_to = ? WHERE lane = ?"
_PUT = "INSERT INTO record (lane, seq, body) VALUES (?, ?, ?)"
_NEXT = "SELECT seq, body FROM record WHERE lane = ? AND seq > ? ORDER BY seq LIMIT ?"
_DROP_ACKED = "DELETE FROM record WHERE lane = ? AND seq <= ?"
_ACKED = "UPDATE lane SET acked_up_to = ? WHERE lane = ? AND acked_up_to < ?"
_LEARN = "INSERT OR REPLACE INTO learnt (name, body) VALUES (?, ?)"
_STAND = "INSERT OR REPLACE INTO standing (finding_id, body) VALUES (?, ?)"
_FALL = "DELETE FROM standing WHERE finding_id = ?"
_CLEAN = "UPDATE lane SET clean = ?"


@dataclass(frozen=True, slots=True)
class Gap:
    """Telemetry numbers that may have been used and whose records are gone: the agent stopped without a word."""

    stream: str
    first_seq: int
    last_seq: int


@dataclass(slots=True)
class _Lane:
    stream: str
    last_seq: int  # the newest number that was given out
    reserved_up_to: int
    acked_up_to: int


class InUse(Exception):  # noqa: N818  reads as what it says
    """Another process has this store open."""


class Outbox:
    """One SQLite file. Not shared between processes; used by one thread."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the store. A damaged one is set aside under a dated name, and `set_aside` says where.

        None keeps everything in memory. Raises InUse when another process has it, OSError or sqlite3.OperationalError
        when it can't be opened now: no permission, disk full.
        """
        self._path = path
        self._lock = _lock(path) if path else None
        self.set_aside: Path | None = None
        self.gap: Gap | None = None
        try:
            self._db = self._open()
        except sqlite3.OperationalError:
            raise  # a full disk or a lock says nothing against the store
        except sqlite3.DatabaseError:
            if path is None:
                raise
            self.set_aside = _set_aside(path)
            self._db = self._open()
        self._ram: dict[int, bytes] = {}  # telemetry by number
        self._lanes = {lane: self._load(lane) for lane in Lane}
        self._claim()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
            if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("quick_check failed")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _SCHEMA_VERSION):
                raise sqlite3.DatabaseError(f"schema version {version} is not {_SCHEMA_VERSION}")
            if version == 0:
                _create(db)
        except BaseException:
            db.close()
            raise
        return db

    def _load(self, lane: Lane) -> _Lane:
        row = self._db.execute(
            "SELECT stream, reserved_up_to, acked_up_to FROM lane WHERE lane = ?", (lane,)
        ).fetchone()
        return _Lane(row[0], row[1], row[1], row[2])

    def _claim(self) -> None:
        """Find out what the last run left: telemetry numbers that are neither acknowledged nor on disk are gone."""
        lane = self._lanes[Lane.TELEMETRY]
        clean = self._db.execute("SELECT min(clean) FROM lane").fetchone()[0]
        kept = self._db.execute("SELECT max(seq) FROM record WHERE lane = ?", (Lane.TELEMETRY,)).fetchone()[0]
        first = max(lane.acked_up_to, kept or 0) + 1
        if not clean and first <= lane.reserved_up_to:
            self.gap = Gap(lane.stream, first, lane.reserved_up_to)
        self._db.execute(_CLEAN, (0,))

    def stream(self, lane: Lane) -> str:
        """Return the lane's stream id, made with the store."""
        return self._lanes[lane].stream

    def base_seq(self, lane: Lane) -> int:
        """Return the lowest number that the cloud has not acknowledged."""
        return self._lanes[lane].acked_up_to + 1

    def put(self, records: Iterable[bytes], standing: Mapping[str, bytes | None] | None = None) -> None:
        """Commit findings-lane records; on return they survive a power cut.

        `standing` goes into the same transaction: the body of each finding that is open now, None for one that is over.
        """
        lane = self._lanes[Lane.FINDINGS]
        with _transaction(self._db):
            for finding_id, body in (standing or {}).items():
                self._db.execute(*((_FALL, (finding_id,)) if body is None else (_STAND, (finding_id, body))))
            numbered = [(Lane.FINDINGS, seq, body) for seq, body in enumerate(records, start=lane.last_seq + 1)]
            self._db.executemany(_PUT, numbered)
            self._db.execute(_NUMBER, (lane.last_seq + len(numbered), Lane.FINDINGS))
        lane.last_seq = lane.reserved_up_to = lane.last_seq + len(numbered)

    def standing(self) -> dict[str, bytes]:
        """Return the findings that were open when the last run ended, by id."""
        return dict(self._db.execute("SELECT finding_id, body FROM standing").fetchall())

    def learn(self, name: str, body: bytes) -> None:
        """Keep what a judge has learnt of this device, in place of what it knew before."""
        with _transaction(self._db):
            self._db.execute(_LEARN, (name, body))

    def learnt(self, name: str) -> bytes | None:
        """Return what was last kept under a name."""
        row = self._db.execute("SELECT body FROM learnt WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def hold(self, record: bytes) -> None:
        """Take a telemetry record into RAM under its own number."""
        lane = self._lanes[Lane.TELEMETRY]
        if lane.last_seq >= lane.reserved_up_to:
            reserved = lane.last_seq + RESERVE
            with _transaction(self._db):
                self._db.execute(_NUMBER, (reserved, Lane.TELEMETRY))
                self._db.execute(_ACKED, (lane.acked_up_to, Lane.TELEMETRY, lane.acked_up_to))
                self._db.execute(_DROP_ACKED, (Lane.TELEMETRY, lane.acked_up_to))
            lane.reserved_up_to = reserved
        lane.last_seq += 1
        self._ram[lane.last_seq] = record

    def after(self, lane: Lane, seq: int, limit: int) -> list[tuple[int, bytes]]:
        """Return the next records of a lane above `seq`, at most `limit`, in order."""
        stored: list[tuple[int, bytes]] = self._db.execute(_NEXT, (lane, seq, limit)).fetchall()
        if lane is Lane.TELEMETRY and len(stored) < limit:  # what is in RAM is newer than what is on disk
            fresh = [(number, body) for number, body in self._ram.items() if number > seq]
            stored += fresh[: limit - len(stored)]
        return stored

    def acknowledge(self, lane: Lane, stream: str, up_to: int) -> int:
        """Let go of what the cloud has committed; return how many numbers were new. Foreign streams are ignored."""
        state = self._lanes[lane]
        newly = min(up_to, state.last_seq) - state.acked_up_to
        if stream != state.stream or newly <= 0:
            return 0
        state.acked_up_to += newly
        if lane is Lane.FINDINGS:
            with _transaction(self._db):
                self._db.execute(_ACKED, (state.acked_up_to, lane, state.acked_up_to))
                self._db.execute(_DROP_ACKED, (lane, state.acked_up_to))
        for number in [number for number in self._ram if lane is Lane.TELEMETRY and number <= state.acked_up_to]:
            del self._ram[number]
        return newly

    def waiting(self, lane: Lane) -> int:
        """Return how many numbers of a lane are given out and not acknowledged."""
        return self._lanes[lane].last_seq - self._lanes[lane].acked_up_to

    def close(self) -> None:
        """Write what is in RAM and mark the stop as clean."""
        lane = self._lanes[Lane.TELEMETRY]
        with _transaction(self._db):
            self._db.executemany(_PUT, [(Lane.TELEMETRY, number, body) for number, body in self._ram.items()])
            self._db.execute(_NUMBER, (lane.last_seq, Lane.TELEMETRY))
            self._db.execute(_ACKED, (lane.acked_up_to, Lane.TELEMETRY, lane.acked_up_to))
            self._db.execute(_DROP_ACKED, (Lane.TELEMETRY, lane.acked_up_to))
            self._db.execute(_CLEAN, (1,))
        self._ram.clear()
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk has rolled back by itself
            db.execute("ROLLBACK")
        raise


def _create(db: sqlite3.Connection) -> None:
    with _transaction(db):
        for statement in _SCHEMA.split(";\n"):
            if statement.strip():
                db.execute(statement)
        for lane in Lane:
            db.execute("INSERT INTO lane VALUES (?, ?, 0, 0, 1)", (lane, str(uuid.uuid4())))
        db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _lock(path: Path) -> int:
    """Hold a file beside the store for as long as we live: two agents would use one number for two records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise InUse(f"{path} is in use by another process") from None
    return lock


def _set_aside(path: Path) -> Path:
    """Rename a damaged store and its journals, so that somebody can look at it later."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    return kept
