"""The ledger: how far the numbers of each stream have been used, kept in a small file beside the store.

What flows in: for each lane its stream and the highest number that may be in use, and the same of streams that were
lost with a damaged store, for as long as the cloud has not counted them. What flows out: the same at the next
start, even when the store is gone or has fallen back behind what had been committed: a card that lies about writes, a
write-ahead log cut short. Without it such a store would give the same numbers out again, for other records.

Two slots are written in turn, in place, each with its checksum: a torn write leaves the other one.
"""

import json
import logging
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.protocol.topics import Lane

SLOT = 4096  # bytes: a page of a flash translation layer or of a file system is not torn in the middle of two of ours

OWED = 32  # streams that were lost and not counted yet; more do not fit into a slot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Used:
    """Numbers 1 to `up_to` of a stream may have been seen by the cloud."""

    stream: str
    up_to: int


@dataclass(frozen=True, slots=True)
class Content:
    """What the ledger knows: the streams in use, and those that are lost and not counted by the cloud."""

    lanes: Mapping[Lane, Used] = field(default_factory=dict)
    owed: tuple[tuple[Lane, Used], ...] = ()


class Ledger:
    """One file of two slots. None keeps nothing: a store in memory ends with its process."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file; where that can't be done (a full disk) the store alone must do."""
        self._turn = 0
        self._said_broken = False
        self._file: int | None = None
        try:
            self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("there is no ledger of used numbers: %s", error)

    def read(self) -> Content:
        """Return what the newer good slot says; empty where none is good."""
        if self._file is None:
            return Content()
        slots = [self._slot(slot) for slot in (0, 1)]
        turn, content = max(filter(None, slots), key=lambda one: one[0], default=(0, Content()))
        self._turn = turn
        return content

    def _slot(self, slot: int) -> tuple[int, Content] | None:
        try:
            return _opened(os.pread(self._file or 0, SLOT, slot * SLOT))
        except OSError as error:
            log.warning("half of the ledger of used numbers can't be read: %s", error)
            return None

    def write(self, content: Content) -> None:
        """Replace the older slot; on return it survives a power cut. A failure is said once, and stops nothing."""
        if self._file is None:
            return
        self._turn += 1
        lanes = {lane: [used.stream, used.up_to] for lane, used in content.lanes.items()}
        owed = [[lane, used.stream, used.up_to] for lane, used in content.owed[:OWED]]
        body = json.dumps([self._turn, lanes, owed]).encode()
        slot = b"%08x %s\n" % (zlib.crc32(body), body)
        try:
            os.pwrite(self._file, slot.ljust(SLOT, b"\0"), self._turn % 2 * SLOT)
            os.fdatasync(self._file)
            self._said_broken = False
        except OSError as error:
            if not self._said_broken:
                log.warning("the ledger of used numbers can't be written: %s", error)
            self._said_broken = True

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _opened(slot: bytes) -> tuple[int, Content] | None:
    checksum, _, body = slot.rstrip(b"\0\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        turn, used, *more = json.loads(body)
        lanes = {Lane(lane): Used(str(stream), int(up_to)) for lane, (stream, up_to) in used.items()}
        owed = tuple((Lane(lane), Used(str(stream), int(up_to))) for part in more for lane, stream, up_to in part)
        return int(turn), Content(lanes, owed)
    except (ValueError, TypeError, AttributeError):
        return None
