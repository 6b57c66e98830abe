"""The schema of the store and its migrations from each earlier version.

What flows in: a connection to a file of some version. What flows out: the same file with the present tables.
"""

import sqlite3
import uuid
import zlib
from enum import StrEnum

from edge_agent.protocol.topics import Lane


class Kind(StrEnum):
    """The classes of records, in the order of their eviction."""

    TELEMETRY = "telemetry"  # evicted first
    EVIDENCE = "evidence"
    FINDING = "finding"  # evicted last
    LOSS = "loss"  # accounts for the others in a few bytes; never evicted


def kind_of(lane: str, body: bytes) -> Kind:
    """Return the class of an encoded record; `kind` is the first field of every JSON record."""
    if lane == Lane.TELEMETRY:
        return Kind.TELEMETRY
    start = body[:40]
    return next((kind for kind in (Kind.EVIDENCE, Kind.LOSS) if f'"kind":"{kind}"'.encode() in start), Kind.FINDING)


def checksum(seq: int, body: bytes) -> int:
    """CRC-32 over a record's number and body."""
    return zlib.crc32(body, seq & 0xFFFFFFFF)


_FIRST_SCHEMA = """
CREATE TABLE lane (                 -- a row for each lane: its stream, and the highest numbers
    lane TEXT PRIMARY KEY,
    stream TEXT NOT NULL,
    reserved_up_to INTEGER NOT NULL,
    acked_up_to INTEGER NOT NULL,
    clean INTEGER NOT NULL
) STRICT;
CREATE TABLE record (               -- records that the cloud has not acknowledged
    lane TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (lane, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE learnt (               -- learned state of the detectors, by name
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE standing (             -- open findings, so that a restart neither forgets nor repeats them
    finding_id TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
_LOSSES_AND_CLASSES = """
ALTER TABLE lane DROP COLUMN clean; -- after a clean stop no number is reserved ahead
ALTER TABLE record ADD COLUMN kind TEXT NOT NULL DEFAULT 'finding';  -- decides the order of eviction
ALTER TABLE record ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;   -- over number and body
UPDATE record SET checksum = crc_of(seq, body), kind = kind_of(lane, body);
CREATE TABLE lost (                 -- numbers whose records are lost, until the cloud has counted them
    lane TEXT NOT NULL,
    stream TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    cause TEXT NOT NULL,
    declared INTEGER NOT NULL DEFAULT 0,  -- number in the findings lane of the record that declares it
    PRIMARY KEY (lane, stream, first_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX loss ON record (seq) WHERE kind = 'loss';
CREATE TABLE quarantine (           -- records that could not be delivered or read, for a person to look at
    lane TEXT NOT NULL,
    seq INTEGER NOT NULL,
    cause TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (lane, seq)
) STRICT;
"""
_RECORDS_BY_ROWID = """
DROP INDEX loss;
CREATE TABLE by_rowid (             -- a row of over 1,000 bytes fills a page of its own in a table without rowids
    lane TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    kind TEXT NOT NULL,
    checksum INTEGER NOT NULL,      -- over number and body
    PRIMARY KEY (lane, seq)
) STRICT;
INSERT INTO by_rowid SELECT lane, seq, body, kind, checksum FROM record ORDER BY lane, seq;
DROP TABLE record;
ALTER TABLE by_rowid RENAME TO record;
CREATE INDEX loss ON record (seq) WHERE kind = 'loss';
"""


def _first(db: sqlite3.Connection) -> None:
    _run(db, _FIRST_SCHEMA)
    for lane in Lane:
        db.execute("INSERT INTO lane VALUES (?, ?, 0, 0, 1)", (lane, str(uuid.uuid4())))


def _losses_and_classes(db: sqlite3.Connection) -> None:
    _run(db, _LOSSES_AND_CLASSES)


def _records_by_rowid(db: sqlite3.Connection) -> None:
    _run(db, _RECORDS_BY_ROWID)


MIGRATIONS = (_first, _losses_and_classes, _records_by_rowid)  # `user_version` says how many of them a file has had


def migrate(db: sqlite3.Connection, free_bytes: int | None = None) -> None:
    """Migrate a file of any earlier version to the present one, in one transaction.

    The last step copies all records; the same statements serve both forms. Where the `free_bytes` of the disk are too
    few for that (None: not known), that step is left for a later start.

    Raises sqlite3.DatabaseError for a file of a newer version, or of another program.
    """
    db.create_function("crc_of", 2, checksum, deterministic=True)
    db.create_function("kind_of", 2, kind_of, deterministic=True)
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise sqlite3.DatabaseError(f"it is of version {version}; this agent knows up to {len(MIGRATIONS)}")
    if version == 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise sqlite3.DatabaseError("it is another program's database")
    steps = MIGRATIONS[version:]
    if steps and version and free_bytes is not None and 2 * _size(db) > free_bytes:
        steps = steps[:-1]
    if not steps:
        return
    if version > 0 and db.execute("PRAGMA auto_vacuum").fetchone()[0] == 0:
        db.execute("VACUUM")  # applies the incremental vacuum that was set
    db.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            step(db)
        db.execute(f"PRAGMA user_version = {version + len(steps)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _size(db: sqlite3.Connection) -> int:
    pages, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)


def _run(db: sqlite3.Connection, script: str) -> None:
    """Run statements one by one: `executescript` would commit the transaction first."""
    statement = ""
    for line in script.splitlines():
        statement += line.partition("--")[0]
        if sqlite3.complete_statement(statement):
            db.execute(statement)
            statement = ""
