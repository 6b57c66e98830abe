"""Sequence file: the high-water mark of each stream's numbers, in a small file beside the store.

What flows in: for each lane its stream and the highest number that may be in use, and the same of streams that were
lost with a damaged store, until the cloud has counted them. What flows out: the same at the next start, even when the
store is missing or has lost its last commits: a card that lies about writes, a write-ahead log cut short. Without it
such a store would use the same numbers again for other records.

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

SUFFIX = ".ledger"  # of its first version; another one would make an upgraded device forget its numbers
SLOT = 4096  # bytes: a page of a flash translation layer or of a file system is not torn in the middle of two of ours

MAX_UNCOUNTED = 32  # streams that were lost and not counted yet; more do not fit into a slot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """Numbers 1 to `up_to` of a stream may have reached the cloud."""

    stream: str
    up_to: int


@dataclass(frozen=True, slots=True)
class HighWaterMarks:
    """The content of the file: the streams in use, and lost streams that the cloud has not counted."""

    lanes: Mapping[Lane, HighWaterMark] = field(default_factory=dict)
    uncounted: tuple[tuple[Lane, HighWaterMark], ...] = ()


class SequenceFile:
    """One file of two slots. Path None stores nothing, for an outbox in memory."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file; where that fails (a full disk) the outbox works without it."""
        self._turn = 0
        self._failure_logged = False
        self._file: int | None = None
        try:
            self._file = None if path is None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("the sequence file can't be opened: %s", error)

    def read(self) -> HighWaterMarks:
        """Return the content of the newer valid slot; empty where neither is valid."""
        if self._file is None:
            return HighWaterMarks()
        slots = [self._slot(slot) for slot in (0, 1)]
        turn, marks = max(filter(None, slots), key=lambda one: one[0], default=(0, HighWaterMarks()))
        self._turn = turn
        return marks

    def _slot(self, slot: int) -> tuple[int, HighWaterMarks] | None:
        try:
            return _decode(os.pread(self._file or 0, SLOT, slot * SLOT))
        except OSError as error:
            log.warning("slot %d of the sequence file can't be read: %s", slot, error)
            return None

    def write(self, marks: HighWaterMarks) -> None:
        """Replace the older slot; on return it survives a power cut. A failure is logged once and is not fatal."""
        if self._file is None:
            return
        self._turn += 1
        try:
            os.pwrite(self._file, _encode(self._turn, marks), self._turn % 2 * SLOT)
            os.fdatasync(self._file)
            self._failure_logged = False
        except OSError as error:
            if not self._failure_logged:
                log.warning("the sequence file can't be written: %s", error)
            self._failure_logged = True

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _encode(turn: int, marks: HighWaterMarks) -> bytes:
    lanes = {lane: [mark.stream, mark.up_to] for lane, mark in marks.lanes.items()}
    uncounted = [[lane, mark.stream, mark.up_to] for lane, mark in marks.uncounted[:MAX_UNCOUNTED]]
    body = json.dumps([turn, lanes, uncounted]).encode()
    return (b"%08x %s\n" % (zlib.crc32(body), body)).ljust(SLOT, b"\0")


def _decode(slot: bytes) -> tuple[int, HighWaterMarks] | None:
    checksum, _, body = slot.rstrip(b"\0\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(body):
            return None
        turn, in_use, *more = json.loads(body)
        lanes = {Lane(lane): HighWaterMark(str(stream), int(up_to)) for lane, (stream, up_to) in in_use.items()}
        uncounted = tuple(
            (Lane(lane), HighWaterMark(str(stream), int(up_to))) for part in more for lane, stream, up_to in part
        )
        return int(turn), HighWaterMarks(lanes, uncounted)
    except (ValueError, TypeError, AttributeError):
        return None
