"""Re-dating: what was written before the first clock sync of a boot gets its true date once that is known.

What flows in: an encoded record that has never left the device, and when its boot began. What flows out: the record
with its instants dated, or None where there is nothing to change. The uptime, which orders records, stays as it is.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edge_agent.protocol import records, telemetry
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane


@dataclass(frozen=True, slots=True)
class Began:
    """When a boot began, as a clock that was set by a time server says."""

    boot_id: str
    wall: datetime

    @classmethod
    def of(cls, now: Instant) -> "Began":
        """Reckon back from a synchronised instant."""
        return cls(now.boot_id, now.wall - timedelta(seconds=now.uptime_s))

    def dated(self, at: Instant) -> Instant:
        """Return an instant with its true date; one that has it already, or is of another boot, as it is."""
        if at.synced or at.boot_id != self.boot_id:
            return at
        return replace(at, wall=self.wall + timedelta(seconds=at.uptime_s), synced=True)


def redated(lane: Lane, began: Began, body: bytes) -> bytes | None:
    """Return the record with its instants dated; None where there is nothing to date, or it can't be read."""
    try:
        return _telemetry(body, began) if lane is Lane.TELEMETRY else _said(body, began)
    except ValueError:
        return None  # it is as it is; the cloud parks it with the cause


def _telemetry(body: bytes, began: Began) -> bytes | None:
    batch = telemetry.unpack(body)
    start = began.dated(batch.start)
    return None if start is batch.start else telemetry.pack(replace(batch, start=start))


def _said(body: bytes, began: Began) -> bytes | None:
    record = records.read_record(json.loads(body))
    if record is None:
        return None
    at = began.dated(record.at)
    if isinstance(record, records.Finding):
        since = began.dated(record.since)
        changed = at is not record.at or since is not record.since
        return records.encode(record.model_copy(update={"at": at, "since": since})) if changed else None
    if at is record.at:
        return None
    record = record.model_copy(update={"at": at})
    return records.encode(record.sealed() if isinstance(record, records.Evidence) else record)
