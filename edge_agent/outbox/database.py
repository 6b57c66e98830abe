"""The store: one SQLite file that survives a power cut.

What flows in: a path, and a check of the content. What flows out: a connection, transactions, and how many bytes are
used. A file that is damaged, of a newer version or of another program is set aside under a dated name.

The space of the write-ahead log is allocated before it is needed, also while the store is closed: a device whose disk
is full can still start, and commit the findings about the full disk.
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

MAX_SET_ASIDE = 2  # damaged stores kept for a person to look at
LOG_PAGES = 256  # of the write-ahead log before it is moved into the file; bounds the log at about 1 MiB
LOG_BYTES = LOG_PAGES * 4096
RESERVE = ".reserve"  # file that reserves the space of the log while the store is closed, and then becomes the log
_PARTS = ("", "-wal", "-shm")  # of a store: its file and those of SQLite beside it
_SHRINK_PAGES = 256  # free pages that are worth returning to the file system


class StoreInUseError(Exception):
    """Another process has this store open."""


_TRANSIENT = frozenset(  # a full disk or a lock is no sign of damage
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
_TRANSIENT_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})  # of the disk, not of permissions
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_CORRUPTFS})


def indicates_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error means that the store is damaged, rather than that it can't be used now."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code in _UNREADABLE or code & 0xFF not in _TRANSIENT


def is_transient(error: Exception) -> bool:
    """Whether a store that can't be opened now may be opened later without a change of the configuration."""
    return isinstance(error, sqlite3.OperationalError) or (
        isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNOS
    )


@dataclass(frozen=True, slots=True)
class Damage:
    """A store that was set aside, and why."""

    kept_as: Path
    reason: str


class Store:
    """The open file. Not shared between processes; used by one thread."""

    def __init__(self, path: Path | None, check: Callable[[sqlite3.Connection], None]) -> None:
        """Open or create it; `check` raises sqlite3.DatabaseError for content that contradicts itself.

        None keeps everything in memory. Raises StoreInUseError when another process has it, OSError or
        sqlite3.OperationalError when it can't be opened now: no permission, disk full.
        """
        self.path = path
        self.damage: Damage | None = None
        self._lock = _lock(path) if path else None
        try:
            self.db = self._open_or_replace(check)
        except (sqlite3.DatabaseError, OSError):
            self._unlock()
            raise

    def _open_or_replace(self, check: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
        """Open the file; where it is damaged, set it aside and create a new one."""
        if self.path is None:
            return self._open(check)
        _turn_reserve_into_log(self.path)
        try:
            db = self._open(check)
        except sqlite3.DatabaseError as error:
            if not indicates_damage(error):
                raise
            self.damage = Damage(_set_aside(self.path), str(error))
            db = self._open(check)
        _sync_folder(self.path)
        return db

    def start_new(self, reason: str) -> None:
        """Set the open file aside, and continue with a new one.

        Where no new one can be created now (a full disk), the next call tries again, and sets nothing more aside.
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
        """Open the file; on a full disk without the index of its log, so that no other process can read it."""
        try:
            return self._connect(check, "NORMAL")
        except sqlite3.OperationalError as error:
            if self.path is None or indicates_damage(error):
                raise
            return self._connect(check, "EXCLUSIVE")

    def _connect(self, check: Callable[[sqlite3.Connection], None], locking: str) -> sqlite3.Connection:
        db = sqlite3.connect(self.path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA locking_mode = {locking}")  # before the first read
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of a new file; an old one gets it when it is migrated
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
            db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
            db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
            if (result := db.execute("PRAGMA quick_check(1)").fetchone()) != ("ok",):
                raise sqlite3.DatabaseError(f"quick_check: {result[0]}")
            migrate(db, self.free_bytes())
            check(db)
        except BaseException:
            db.close()
            raise
        self._allocate("-wal")
        return db

    def _allocate(self, suffix: str) -> None:
        """Allocate the space of the log to a file. Nothing is written; SQLite reads only what it has written there.

        On a full disk nothing is allocated.
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
        """Commit all or nothing; after the commit it survives a power cut."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
            self.db.execute("COMMIT")
        except BaseException:
            if self.db.in_transaction:  # on a full disk SQLite has rolled back
                self.db.execute("ROLLBACK")
            raise

    def used_bytes(self) -> int:
        """Return the size of the content, free pages not counted."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def free_bytes(self) -> int | None:
        """Return how many bytes of the file system are free for this process; None in memory."""
        if self.path is None:
            return None
        stat = os.statvfs(self.path.parent)
        return stat.f_bavail * stat.f_frsize

    def shrink(self, *, at_once: bool = False) -> None:
        """Return free pages to the file system where there are many, or with `at_once` where there is any."""
        if self._pragma("freelist_count") >= (1 if at_once else _SHRINK_PAGES):
            self.db.executescript("PRAGMA incremental_vacuum")  # `execute` would stop after the first page
            self.db.execute("PRAGMA wal_checkpoint").fetchall()  # shortens the file, and leaves the log at its size

    def delete_set_aside(self) -> None:
        """Delete the damaged stores that were kept: the disk is nearly full."""
        if self.path is not None:
            _prune_set_aside(self.path, 0)

    def close(self) -> None:
        """Close the file and release its lock."""
        self.db.close()
        if self.path is not None and not _log(self.path).exists():
            self._allocate(RESERVE)
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _pragma(self, name: str) -> int:
        value: int = self.db.execute(f"PRAGMA {name}").fetchone()[0]
        return value


def _lock(path: Path) -> int:
    """Lock a file beside the store until it is closed: two agents would use one number for two records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            raise StoreInUseError(f"{path} is in use by another process") from None
        raise
    return lock


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _turn_reserve_into_log(path: Path) -> None:
    """Rename the reserve to the log: SQLite takes a log of zeros for an empty one. Delete it where there is a log."""
    reserve = path.with_name(path.name + RESERVE)
    with suppress(OSError):
        if path.exists() and path.stat().st_size and not _log(path).exists():
            reserve.rename(_log(path))
        else:
            reserve.unlink(missing_ok=True)


def _set_aside(path: Path) -> Path:
    """Rename a damaged store and its journals for a person to look at; only the newest are kept."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    kept = path.with_name(f"{path.name}.damaged-{stamp}")
    for suffix in _PARTS:
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    _prune_set_aside(path, MAX_SET_ASIDE)
    _sync_folder(path)
    return kept


def _prune_set_aside(path: Path, keep: int) -> None:
    """Delete all but the newest by the files' change times; a wrong clock would put the names out of order."""
    parts = sorted(path.parent.glob(f"{path.name}.damaged-*"), key=lambda part: part.stat().st_ctime_ns, reverse=True)
    names = list(dict.fromkeys(part.name.removesuffix("-wal").removesuffix("-shm") for part in parts))
    for part in parts:
        if part.name.removesuffix("-wal").removesuffix("-shm") not in names[:keep]:
            part.unlink()


def _sync_folder(path: Path) -> None:
    """Make created or renamed files survive a power cut: fsync of the file does not do that."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
