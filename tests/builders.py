"""Builders of a device's messages, with the fixed cast. A test sets only the values it is about."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from edge_agent.protocol import records, telemetry
from edge_agent.protocol.faults import FAULTS, DetectorKind, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.records import (
    Detector,
    Evidence,
    EvidencePart,
    Finding,
    Impact,
    Loss,
    Phase,
    Presence,
    PresenceState,
    Series,
)
from edge_agent.protocol.topics import Lane

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
DEVICE = "pump-07"
BOOT = str(UUID(int=0xB007))
STREAM = str(UUID(int=0x57))


def an_id(number: int) -> str:
    """Return the UUID with this number."""
    return str(UUID(int=number))


def an_instant(
    after_s: float = 0.0, *, synced: bool = True, boot_id: str = BOOT, wall: datetime | None = None
) -> Instant:
    """`after_s` seconds after noon, on a device that was started an hour before noon."""
    moment = NOON + timedelta(seconds=after_s)
    return Instant(boot_id=boot_id, uptime_s=3600 + after_s, wall=wall or moment, synced=synced)


def an_impact(likely_s: float, *, low_s: float | None = None, high_s: float | None = None) -> Impact:
    """Time to impact; without an interval, from 0.9 to 1.2 of the likely one."""
    return Impact(
        low_s=0.9 * likely_s if low_s is None else low_s,
        likely_s=likely_s,
        high_s=1.2 * likely_s if high_s is None else high_s,
    )


def a_finding(
    phase: Phase = Phase.OPEN,
    after_s: float = 0.0,
    *,
    fault: str = "disk.filling",
    component: str = "/data",
    severity: Severity = Severity.WARNING,
    impact: Impact | None = None,
    since_s: float | None = None,
    finding_id: str = an_id(1),
    evidence_id: str | None = None,
    at: Instant | None = None,
    reason: str = "/data grows by 2 GB an hour",
) -> Finding:
    """A finding reported `after_s` seconds after noon, true since `since_s` (by default since this moment)."""
    at = at or an_instant(after_s)
    judge = FAULTS[fault].detector if fault in FAULTS else DetectorKind.RULE
    return Finding(
        finding_id=finding_id,
        fault=fault,
        component=component,
        phase=phase,
        at=at,
        since=at if since_s is None else an_instant(since_s, synced=at.synced, boot_id=at.boot_id),
        severity=severity,
        confidence=0.9,
        impact=impact,
        reason=reason,
        detector=Detector(judge=judge, version="0.1.0"),
        evidence_id=evidence_id,
    )


def an_evidence(
    part: EvidencePart = EvidencePart.BEFORE,
    *,
    evidence_id: str = an_id(2),
    finding_id: str = an_id(1),
    values: Sequence[float | None] = (1.0, 2.0, None, 4.0),
    after_s: float = 0.0,
) -> Evidence:
    """A sealed evidence pack of one short series."""
    at = an_instant(after_s)
    uptime_s = tuple(at.uptime_s - len(values) + place for place in range(len(values)))
    series = Series(
        metric="system.filesystem.usage{system.filesystem.state=used}",
        unit="By",
        uptime_s=uptime_s,
        values=tuple(values),
        role="judged",
    )
    return Evidence(
        evidence_id=evidence_id,
        finding_id=finding_id,
        part=part,
        at=at,
        detected_uptime_s=at.uptime_s,
        series=(series,),
        detector=Detector(judge=DetectorKind.TREND, version="0.1.0"),
    ).sealed()


def a_loss(first_seq: int, last_seq: int, *, lane: Lane = Lane.TELEMETRY, stream: str = STREAM) -> Loss:
    """A declared loss of these numbers."""
    return Loss(
        at=an_instant(),
        lane=lane,
        stream=stream,
        first_seq=first_seq,
        last_seq=last_seq,
        reason="power was cut",
    )


def an_envelope(
    first_seq: int, *items: Finding | Evidence | Loss | dict[str, Any], stream: str = STREAM, base_seq: int = 1
) -> bytes:
    """The payload of a message of the findings lane; a dict goes in as it is."""
    bodies = [json.dumps(item).encode() if isinstance(item, dict) else records.encode(item) for item in items]
    return records.join_envelope(stream, base_seq, first_seq, bodies)


def a_presence(state: PresenceState = PresenceState.ONLINE, after_s: float = 0.0, *, boot_id: str = BOOT) -> bytes:
    """The payload of a presence message."""
    at = an_instant(after_s, boot_id=boot_id)
    presence = Presence(
        state=state, at=at, agent="0.1.0", model="iforest-1", firmware="fw-3", hardware="Pi 5", metrics=42
    )
    return records.encode(presence)


def a_chunk(after_s: float = 0.0, *, values: npt.NDArray[np.float64] | None = None) -> bytes:
    """One packed record of the telemetry lane: one temperature each second."""
    values = np.array([40.0, 40.1, 40.2]) if values is None else values
    column = telemetry.Column(series="hw.temperature", aggregate="last", unit="Cel", resolution=0.1, values=values)
    return telemetry.pack(telemetry.Batch(start=an_instant(after_s), period_s=1.0, columns=(column,)))


def a_telemetry_message(first_seq: int, *chunks: bytes, stream: str = STREAM, base_seq: int = 1) -> bytes:
    """The payload of a message of the telemetry lane."""
    return telemetry.encode(stream, base_seq, first_seq, list(chunks))
