"""What an evidence snapshot holds. Pure.

What flows in: rows of the store. What flows out: a body fit for JSON, and its hash. Instants are seconds since 1970, so
that a series needs no clock of its device any more.
"""

import hashlib
import json
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from cloud.store.outcome_tables import DeviceEvent
from cloud.store.tables import Device, Episode, EvidenceRow
from edge_agent.protocol.telemetry import Batch

Body = dict[str, Any]
VERSIONS = ("agent", "firmware", "hardware", "model")


def finding_part(episode: Episode) -> Body:
    """Return what was found, by which detector, and on which metrics with their normal ranges."""
    return {
        "fault": episode.fault,
        "component": episode.component,
        "severity": episode.severity,
        "severity_reason": episode.severity_reason,
        "confidence": episode.confidence,
        "sentence": episode.sentence,
        "first_at": episode.first_at.timestamp(),
        "impact": [at.timestamp() if at else None for at in _impact(episode)],
        "carriers": list(episode.carriers),
        "detector": dict(episode.detector),
        "evidence_id": episode.evidence_id,
    }


def _impact(episode: Episode) -> tuple[datetime | None, ...]:
    return episode.impact_low_at, episode.impact_at, episode.impact_high_at


def device_part(device: Device) -> Body:
    """Return what the device was at that time."""
    return {
        "device": device.device,
        "customer": device.customer,
        "site": device.site,
        "presence": device.presence,
        **{name: getattr(device, name) for name in VERSIONS},
    }


def recorded_part(rows: Sequence[EvidenceRow]) -> Body:
    """Return the series that the device froze, dated from the moment of detection, with limit and line."""
    if not rows:
        return {"series": [], "threshold": None, "line": None, "detected_at": None, "events": [], "packs": []}
    detected = rows[0].detected_at.timestamp()
    offset = detected - float(rows[0].body["detected_uptime_s"])
    return {
        "series": [one for row in rows for one in _series(row, offset)],
        "threshold": rows[0].body.get("threshold"),
        "line": rows[0].body.get("line"),
        "detected_at": detected,
        "events": list(dict.fromkeys(str(event) for row in rows for event in row.body.get("events", ()))),
        "packs": [{"part": row.part, "sha256": row.body.get("sha256"), "intact": row.intact} for row in rows],
    }


def _series(row: EvidenceRow, offset: float) -> Iterator[Body]:
    for raw in row.body.get("series", ()):
        times, values = raw.get("uptime_s", ()), raw.get("values", ())
        yield {
            "metric": raw["metric"],
            "unit": raw.get("unit", ""),
            "role": raw.get("role", "context"),
            "part": row.part,
            "at": [round(at + offset, 3) for at in times],
            "values": list(values),
        }


def happened_part(events: Iterable[DeviceEvent], others: Iterable[Episode]) -> list[Body]:
    """Return what else happened on the device, in the order of time: restarts, versions, other faults."""
    happened = [{"at": each.at.timestamp(), "text": _event_text(each)} for each in events]
    happened += [
        {"at": each.first_at.timestamp(), "text": f"{each.fault} on {each.component}: {each.sentence}"}
        for each in others
    ]
    return sorted(happened, key=lambda one: (one["at"], one["text"]))


def _event_text(event: DeviceEvent) -> str:
    if event.kind == "boot":
        return "The device was started."
    if not event.before:
        return f"{event.kind.capitalize()} {event.after or 'unknown'} was seen for the first time."
    return f"{event.kind.capitalize()} changed from {event.before} to {event.after or 'unknown'}."


def peer_lines(device: str, batches: Iterable[Batch], metrics: Sequence[str]) -> list[Body]:
    """Return mean, lowest and highest of each metric in the telemetry of another device."""
    readings: dict[tuple[str, str], list[float]] = {}  # by metric and unit
    means: dict[tuple[str, str], list[float]] = {}
    for column in (column for batch in batches for column in batch.columns if column.series in metrics):
        values = [float(value) for value in column.values if not math.isnan(value)]
        readings.setdefault((column.series, column.unit), []).extend(values)
        if column.aggregate in ("last", "mean"):
            means.setdefault((column.series, column.unit), []).extend(values)
    return [
        {
            "device": device,
            "metric": metric,
            "unit": unit,
            "mean": statistics.fmean(means[metric, unit]),
            "low": min(values),
            "high": max(values),
        }
        for (metric, unit), values in sorted(readings.items())
        if means.get((metric, unit))
    ]


def digest(body: Body) -> str:
    """SHA-256 over the canonical JSON of a body (keys sorted, no spaces), as for evidence packs."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
