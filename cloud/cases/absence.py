"""Absence: a device that should report and does not. Pure rules.

What flows in: what is known of a device's connection and its telemetry, since when the cloud has been listening, and
the time. What flows out: `Absence` with its fault and a reason, or None.

A device is absent when it is disconnected without having announced it, and stalled when it is connected and its
telemetry has stopped. Nobody is blamed for a time in which the cloud itself could receive nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from edge_agent.protocol.wording import duration

_MINUTE_S, _HOUR_S = 60.0, 3600.0


class AbsenceRules(BaseModel):
    """When a device counts as absent; a table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    absent_after_s: float = Field(
        default=5 * _MINUTE_S, ge=1, le=30 * 86400, description="a device that is disconnected for this long is absent"
    )
    missed_reports: float = Field(
        default=2.5,
        ge=1.1,
        le=100,
        description="a connected device whose telemetry stops for so many of its intervals is stalled",
    )
    stalled_after_s: float = Field(
        default=5 * _MINUTE_S, ge=1, le=30 * 86400, description="but never before this time has passed"
    )
    report_every_s: float = Field(
        default=_HOUR_S,
        ge=1,
        le=7 * 86400,
        description="interval of a device that announces none although it has sent telemetry",
    )


ABSENT, STALLED = "device.absent", "device.stalled"
COMPONENTS = {ABSENT: "connection", STALLED: "readings"}


class Connection(StrEnum):
    """What the broker says of a device, see `edge_agent.protocol.records.PresenceState`."""

    ONLINE = "online"
    OFFLINE = "offline"  # by its last will: it did not announce this
    GOING_DOWN = "going_down"  # a planned shutdown


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is known of a device."""

    connection: Connection
    connection_at: datetime | None  # None: it has never published its presence
    telemetry_at: datetime | None  # when its last telemetry arrived
    telemetry_every_s: float | None  # as it announced; None: not announced
    is_reduced: bool = False  # it has reported that it exceeds its budget, and sends less


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """A device that should report and does not: since when, and why that is believed."""

    fault: str  # device.absent or device.stalled
    component: str
    since: datetime
    reason: str


def find_absence(sighting: Sighting, listening_since: datetime, rules: AbsenceRules, now: datetime) -> Absence | None:
    """Say whether a device is absent or stalled. `listening_since` is when the cloud began to receive messages."""
    if sighting.connection is Connection.GOING_DOWN:
        return None
    if sighting.connection is Connection.OFFLINE and sighting.connection_at:
        return _absent(sighting.connection_at, listening_since, rules, now)
    return _stalled(sighting, listening_since, rules, now)


def _absent(since: datetime, listening_since: datetime, rules: AbsenceRules, now: datetime) -> Absence | None:
    if now - max(since, listening_since) < timedelta(seconds=rules.absent_after_s):
        return None
    away = duration((now - since).total_seconds())
    reason = f"Disconnected for {away} without announcing a shutdown (limit {duration(rules.absent_after_s)})."
    return Absence(fault=ABSENT, component=COMPONENTS[ABSENT], since=since, reason=reason)


def _stalled(sighting: Sighting, listening_since: datetime, rules: AbsenceRules, now: datetime) -> Absence | None:
    every_s = _interval_s(sighting, rules)
    last = max((at for at in (sighting.telemetry_at, sighting.connection_at) if at), default=None)
    if every_s is None or last is None or sighting.is_reduced:
        return None
    limit_s = max(rules.stalled_after_s, rules.missed_reports * every_s)
    if now - max(last, listening_since) < timedelta(seconds=limit_s):
        return None
    quiet = duration((now - last).total_seconds())
    whose = "it announced" if sighting.telemetry_every_s else "it used to keep"
    where = "Connected, but no" if sighting.connection_at else "No"
    reason = f"{where} telemetry for {quiet}; {whose} one batch every {duration(every_s)} (limit {duration(limit_s)})."
    return Absence(fault=STALLED, component=COMPONENTS[STALLED], since=last, reason=reason)


def _interval_s(sighting: Sighting, rules: AbsenceRules) -> float | None:
    """How often telemetry should come; None if nothing tells that any should."""
    return sighting.telemetry_every_s or (rules.report_every_s if sighting.telemetry_at else None)


def is_back(fault: str, sighting: Sighting, since: datetime) -> str | None:
    """Return why an absence that began at `since` is over; None while it lasts."""
    if sighting.connection is Connection.GOING_DOWN:
        return "It announced a shutdown."
    if fault == ABSENT:
        return "It is connected again." if sighting.connection is Connection.ONLINE else None
    return "Telemetry arrives again." if sighting.telemetry_at and sighting.telemetry_at > since else None
