"""The store: one SQLite file that survives a power cut.

What flows in: a path, and what must hold of the content. What flows out: a connection, transactions, and how much room
is taken. A file that is damaged, of a newer version or not ours at all is set aside under a dated name.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.schema import migrate

KEPT_ASIDE = 2  # damaged stores that stay to be looked at
LOG_PAGES = 256  # of the write-ahead log before it is moved into the file; bounds the log at about 1 MiB
_PARTS = ("", "-wal", "-shm")  # of a store: its file and what SQLite keeps beside it
_ROOMY_PAGES = 256  # free pages that are worth giving back to the file system


class InUse(Exception):  # noqa: N818  reads as what it says
    """Another process has this store open."""


_OF_THE_MOMENT = frozenset(  # a full disk or a lock says nothing against the store
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
    }
)
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})


def says_damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether an error is the store's own fault for good, rather than the moment's."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code in _UNREADABLE or code & 0xFF not in _OF_THE_MOMENT


@dataclass(frozen=True, slots=True)
class Damage:
    """A store that was set aside, and why."""

    kept_as: Path
    reason: str


class Store:
    """The open file. Not shared between processes; used by one thread."""

    def __init__(self, path: Path | None, check: Callable[[sqlite3.Connection], None]) -> None:
        """Open or create it; `check` raises sqlite3.DatabaseError for a content that contradicts itself.

        None keeps everything in memory. Raises InUse when another process has it, OSError or sqlite3.OperationalError
        when it can't be opened now: no permission, disk full.
        """
        self.path = path
        self.damage: Damage | None = None
        self._lock = _lock(path) if path else None
        try:
            self.db = self._open(check)
        except sqlite3.DatabaseError as error:
            if path is None or not says_damaged(error):
                self._unlock()
                raise
            self.damage = Damage(_set_aside(path), str(error))
            self.db = self._open(check)
        if path is not None:
            _sync_folder(path)

    def begin_anew(self, reason: str) -> None:
        """Set the file aside although it is open, and go on with a new one.

        Where no new one can be made now (a full disk), the next call tries again, and sets nothing more aside.
        """
        self.db.close()
        if self.path is not None and self.path.exists():
            self.damage = Damage(_set_aside(self.path), reason)
        try:
            self.db = self._open(lambda _db: None)
        except sqlite3.DatabaseError:
            if self.path is not None:
                for suffix in _PARTS:
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            raise
        if self.path is not None:
            _sync_folder(self.path)

    def _open(self, check: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        db = sqlite3.connect(self.path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file; an old one gets it with its migration
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
            db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
            db.execute(f"PRAGMA journal_size_limit = {LOG_PAGES * 4096}")
            if (said := db.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
                raise sqlite3.DatabaseError(f"quick_check: {said[0]}")
            migrate(db)
            check(db)
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; after the end it survives a power cut."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:  # a full disk has rolled back by itself
                self.db.execute("ROLLBACK")
            raise

    def used_bytes(self) -> int:
        """Return what the records take, free pages not counted."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def free_bytes(self) -> int | None:
        """Return how much of the file system is free for us; None in memory."""
        if self.path is None:
            return None
        about = os.statvfs(self.path.parent)
        return about.f_bavail * about.f_frsize

    def give_back(self, *, at_once: bool = False) -> None:
        """Return free pages to the file system where they are many, or all of them."""
        if self._pragma("freelist_count") >= (1 if at_once else _ROOMY_PAGES):
            self.db.executescript("PRAGMA incremental_vacuum")  # `execute` would stop after the first page
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def forget_aside(self) -> None:
        """Delete the damaged stores that were kept: somebody's disk is nearly full."""
        if self.path is not None:
            _prune_aside(self.path, 0)

    def close(self) -> None:
        """Close the file and let another process have it."""
        self.db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _pragma(self, name: str) -> int:
        value: int = self.db.execute(f"PRAGMA {name}").fetchone()[0]
        return value


def _lock(path: Path) -> int:
    """Hold a file beside the store for as long as we live: two agents would use one number for two records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise InUse(f"{path} is in use by another process") from None
    return lock


def _set_aside(path: Path) -> Path:
    """Rename a damaged store and its journals, so that somebody can look at it later; only the newest stay."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in _PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    _prune_aside(path, KEPT_ASIDE)
    _sync_folder(path)
    return kept


def _prune_aside(path: Path, keep: int) -> None:
    """Delete all but the newest; by the files' own dates, since a clock that was wrong names them out of order."""
    parts = sorted(path.parent.glob(f"{path.name}.damaged-*"), key=lambda part: part.stat().st_ctime_ns, reverse=True)
    names = list(dict.fromkeys(part.name.removesuffix("-wal").removesuffix("-shm") for part in parts))
    for part in parts:
        if part.name.removesuffix("-wal").removesuffix("-shm") not in names[:keep]:
            part.unlink()


def _sync_folder(path: Path) -> None:
    """Make names that were created or changed survive a power cut: fsync of the file does not do that."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
