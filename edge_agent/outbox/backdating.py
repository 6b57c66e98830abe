"""Backdating: records written before the first clock sync of a boot get their true date once it is known.

What flows in: an encoded record that has never left the device, and when its boot started. What flows out: the record
with its instants dated, or None where nothing changes. The uptime, which orders records, stays the same.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edge_agent.protocol import records, telemetry
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane


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
