"""Rows: parsed records and presence as rows of the tables, and the comparison of repeated records. Pure.

What flows in: parsed records. What flows out: rows, and whether a record is the one that is stored under its number.
"""

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

from cloud.cases.episodes import dated
from cloud.ingest.parsing import DEAD_LETTERED, ParsedRecord
from cloud.store.outcome_tables import CONNECTION
from cloud.store.streams import Row, StreamKey
from cloud.store.tables import Device
from edge_agent.protocol import topics
from edge_agent.protocol.records import Presence, PresenceState

_INT4_MAX = 2**31 - 1
_UPTIME_MAX_S = 10 * 365 * 86_400.0
_VERSIONS = ("agent", "model", "firmware", "hardware")


def update_device(row: Device, presence: Presence, received_at: datetime) -> bool:
    """Copy a presence message into the device's row; return whether the device went online or offline."""
    row.last_seen = max(row.last_seen, dated(presence.at, received_at))
    if (row.presence, presence.state) == (PresenceState.GOING_DOWN, PresenceState.OFFLINE):
        return False  # the will of a connection whose end was announced: it is still a planned shutdown
    changed = row.presence_at is None or row.presence != presence.state
    if changed:
        row.presence, row.presence_at = presence.state, received_at
    row.agent, row.model, row.firmware, row.hardware = (
        presence.agent,
        presence.model,
        presence.firmware,
        presence.hardware,
    )
    row.telemetry_every_s = presence.telemetry_every_s
    row.boot_id, row.metrics = presence.at.boot_id[:64], min(presence.metrics, _INT4_MAX)
    return changed


def device_events(row: Device, presence: Presence, received_at: datetime) -> list[Row]:
    """Return what is new in a presence message: a restart, other versions. Call it before `update_device`.

    A last will that comes late has the versions of the connection before, and tells nothing new.
    """
    if presence.state is not PresenceState.ONLINE:
        return []
    at = dated(presence.at, received_at)
    booted_at = max(row.first_seen, at - timedelta(seconds=min(presence.at.uptime_s, _UPTIME_MAX_S)))
    before = {"boot": row.boot_id, **{name: getattr(row, name) for name in _VERSIONS}}
    after = {"boot": presence.at.boot_id[:64], **{name: getattr(presence, name) for name in _VERSIONS}}
    return [
        {
            "device": row.device,
            "at": booted_at if kind == "boot" else at,
            "kind": kind,
            "before": before[kind],
            "after": value,
        }
        for kind, value in after.items()
        if value != before[kind]
    ]


def connection_event(device: str, before: str, presence: Presence, received_at: datetime) -> Row:
    """Return that a device went online or offline, for its connection history."""
    return {"device": device, "at": received_at, "kind": CONNECTION, "before": before, "after": presence.state.value}


def device_in(topic: str) -> str:
    """Return the device that a topic names; empty if it is not a topic of ours."""
    try:
        return topics.parse(topic).device
    except ValueError:
        return ""


def record_row(key: StreamKey, record: ParsedRecord, received_at: datetime) -> Row:
    """Return the row of a record: of the telemetry table if it has a start, of the record table otherwise."""
    row = {"device": key.device, "stream": key.stream, "seq": record.seq, "received_at": received_at}
    if record.start_at:
        return row | {"start_at": record.start_at, "body": record.content}
    body = {DEAD_LETTERED: record.problem} if record.problem else record.content
    return row | {"lane": key.lane, "kind": record.kind, "body": body}


def is_same_record(content: dict[str, Any] | bytes, stored: dict[str, Any] | bytes | None) -> bool:
    """Whether a record equals the stored one with its number, as far as enough of that is kept to compare."""
    if stored is None or stored == content or (isinstance(stored, dict) and DEAD_LETTERED in stored):
        return True
    return isinstance(content, dict) and stored == evidence_reference(content)


def evidence_reference(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return what an evidence record keeps once its content is in the evidence table: its identity and its hash."""
    digest = hashlib.sha256(json.dumps(evidence, sort_keys=True).encode()).hexdigest()
    names = ("kind", "evidence_id", "part")
    return {name: evidence.get(name) for name in names} | {"content_sha256": digest}
