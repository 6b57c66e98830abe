"""Backdating: records written before the first clock sync of a boot get their true date once it is known.

What flows in: an encoded record that has never left the device, and when its boot started. What flows out: the record
with its instants dated, or None where nothing changes. The uptime, which orders records, stays the same.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from edge_agent.outbox.outbox import Outbox
from edge_agent.protocol import records, telemetry
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane

log = logging.getLogger(__name__)

WORTH_DATING_S = 600.0  # sending waits for a date only if records are older than this


@dataclass(frozen=True, slots=True)
class BootStart:
    """When a boot started, by a clock that a time server has set."""

    boot_id: str
    wall: datetime

    @classmethod
    def of(cls, now: Instant) -> "BootStart":
        """Compute it from a synchronised instant."""
        return cls(now.boot_id, now.wall - timedelta(seconds=now.uptime_s))

    def dated(self, at: Instant) -> Instant:
        """Return an instant with its true date; one that has it, or is of another boot, is returned unchanged."""
        if at.synced or at.boot_id != self.boot_id:
            return at
        return replace(at, wall=self.wall + timedelta(seconds=at.uptime_s), synced=True)


class Backdating:
    """Backdates the records of this run when the clock is set for the first time in this boot."""

    def __init__(self) -> None:
        self._unset_since_s: float | None = None  # uptime of the first sample with a clock that is not set

    def is_pending(self, now_s: float) -> bool:
        """Whether some records are older than some minutes and have no date yet. `now_s` is the uptime."""
        return self._unset_since_s is not None and now_s - self._unset_since_s > WORTH_DATING_S

    def step(self, outbox: Outbox, left_up_to: Callable[[Lane], int], now: Instant) -> None:
        """Backdate if the clock was just set; `left_up_to` is the highest number that may have left the device."""
        if not now.synced:
            self._unset_since_s = now.uptime_s if self._unset_since_s is None else self._unset_since_s
        elif self._unset_since_s is not None:
            boot, dated = BootStart.of(now), 0
            for lane in Lane:
                above = max(outbox.last_seq_at_start(lane), left_up_to(lane))
                dated += outbox.rewrite(lane, above, partial(backdate, lane, boot))
            log.info("the clock is set: this boot started at %s, %d records are dated", boot.wall, dated)
            self._unset_since_s = None


def backdate(lane: Lane, boot: BootStart, body: bytes) -> bytes | None:
    """Return the record with its instants dated; None where it needs no date or can't be decoded."""
    try:
        return _batch(body, boot) if lane is Lane.TELEMETRY else _record(body, boot)
    except ValueError:
        return None  # sent unchanged; the cloud dead-letters it with the cause


def _batch(body: bytes, boot: BootStart) -> bytes | None:
    batch = telemetry.unpack(body)
    start = boot.dated(batch.start)
    return None if start is batch.start else telemetry.pack(replace(batch, start=start))


def _record(body: bytes, boot: BootStart) -> bytes | None:
    record = records.read_record(json.loads(body))
    if record is None:
        return None
    at = boot.dated(record.at)
    if isinstance(record, records.Finding):
        since = boot.dated(record.since)
        changed = at is not record.at or since is not record.since
        return records.encode(record.model_copy(update={"at": at, "since": since})) if changed else None
    if at is record.at:
        return None
    record = record.model_copy(update={"at": at})
    return records.encode(record.sealed() if isinstance(record, records.Evidence) else record)
