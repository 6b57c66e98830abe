"""The store: one SQLite file that survives a power cut.

What flows in: a path, and what must hold of the content. What flows out: a connection, transactions, and how much room
is taken. A file that is damaged, of a newer version or not ours at all is set aside under a dated name.

The write-ahead log has its room on the disk before it needs it, also while nobody has the store open: a device whose
disk is full can still start, and commit what there is to say about that.
"""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.outbox.schema import migrate

KEPT_ASIDE = 2  # damaged stores that stay to be looked at
LOG_PAGES = 256  # of the write-ahead log before it is moved into the file; bounds the log at about 1 MiB
LOG_BYTES = LOG_PAGES * 4096
RESERVE = ".reserve"  # what keeps the log's room while the store is closed, and becomes the log
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
_PASSES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})  # what the disk is, not who we are
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})


def says_damaged(error: sqlite3.DatabaseError) -> bool:
    """Whether an error is the store's own fault for good, rather than the moment's."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code in _UNREADABLE or code & 0xFF not in _OF_THE_MOMENT


def may_pass(error: Exception) -> bool:
    """Whether a store that could not be opened may be opened later, with no change of the configuration."""
    return isinstance(error, sqlite3.OperationalError) or (isinstance(error, OSError) and error.errno in _PASSES)


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
            self.db = self._open_or_begin(check)
        except (sqlite3.DatabaseError, OSError):
            self._unlock()
            raise

    def _open_or_begin(self, check: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        """Open what is there, or a new one in its place where that is damaged."""
        if self.path is None:
            return self._open(check)
        _make_reserve_the_log(self.path)
        try:
            db = self._open(check)
        except sqlite3.DatabaseError as error:
            if not says_damaged(error):
                raise
            self.damage = Damage(_set_aside(self.path), str(error))
            db = self._open(check)
        _sync_folder(self.path)
        return db

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
        """Open the file; where there is no room for the index of its log, without one: then nobody else can read it."""
        try:
            return self._connect(check, "NORMAL")
        except sqlite3.OperationalError as error:
            if self.path is None or says_damaged(error):
                raise
            return self._connect(check, "EXCLUSIVE")

    def _connect(self, check: Callable[[sqlite3.Connection], None], locking: str) -> sqlite3.Connection:
        db = sqlite3.connect(self.path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA locking_mode = {locking}")  # before anything is read
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file; an old one gets it with its migration
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
            db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
            db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            if (said := db.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
                raise sqlite3.DatabaseError(f"quick_check: {said[0]}")
            migrate(db, self.free_bytes())
            check(db)
        except BaseException:
            db.close()
            raise
        self._keep_room("-wal")
        return db

    def _keep_room(self, suffix: str) -> None:
        """Let a file have the log's room; nothing is written, and what SQLite has not written there it does not read.

        Without room it is done without.
        """
        if self.path is None:
            return
        with suppress(OSError):
            file = os.open(self.path.with_name(self.path.name + suffix), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(file, 0, LOG_BYTES)
            finally:
                os.close(file)

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
            self.db.execute("PRAGMA wal_checkpoint").fetchall()  # shortens the file, and leaves the log its room

    def forget_aside(self) -> None:
        """Delete the damaged stores that were kept: somebody's disk is nearly full."""
        if self.path is not None:
            _prune_aside(self.path, 0)

    def close(self) -> None:
        """Close the file and let another process have it."""
        self.db.close()
        if self.path is not None and not _log(self.path).exists():
            self._keep_room(RESERVE)
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
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise InUse(f"{path} is in use by another process") from None
        raise
    return lock


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _make_reserve_the_log(path: Path) -> None:
    """To SQLite a log of zeros is an empty one, where there is a store. Where there is a log, no reserve is needed."""
    reserve = path.with_name(path.name + RESERVE)
    with suppress(OSError):
        if path.exists() and path.stat().st_size and not _log(path).exists():
            reserve.rename(_log(path))
        else:
            reserve.unlink(missing_ok=True)


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
