"""The bodies of the REST API, version 1: what requests carry and what answers return. Times are ISO 8601 UTC."""

from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cloud.cases.lanes import Lane
from cloud.cases.outcomes import Advice, Cause, Noticed, Outcome
from cloud.ingest import DropReason
from cloud.store.tables import CaseState, Label
from edge_agent.protocol.faults import Severity


class _Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CaseSummary(_Row):
    """A case as a list shows it."""

    number: int
    device: str
    title: str
    state: CaseState
    severity: Severity
    severity_reason: str
    opened_at: datetime
    opened_reason: str
    updated_at: datetime
    impact_low_at: datetime | None
    impact_at: datetime | None
    impact_high_at: datetime | None
    owner: str | None
    label: Label | None
    closed_at: datetime | None
    lane: Lane | None
    lane_reason: str
    problem_number: int | None
    first_owner: str | None
    reminder_at: datetime | None
    merged_into: int | None
    faults: list[str]


class EpisodeOut(_Row):
    """One fault on one component, with the reason of each decision about it."""

    id: int
    fault: str
    component: str
    state: str
    severity: Severity
    severity_reason: str
    confidence: float
    sentence: str
    carriers: list[Any]
    detector: dict[str, Any]
    finding_id: str
    evidence_id: str | None
    first_at: datetime
    last_at: datetime
    impact_low_at: datetime | None
    impact_at: datetime | None
    impact_high_at: datetime | None
    fired_at: datetime | None
    cleared_at: datetime | None
    resolved_at: datetime | None
    findings: int
    flaps: int
    first_severity: str
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    silence_number: int | None
    suppressed_until: datetime | None
    explained_by: int | None
    reasons: list[Any]


class EntryOut(_Row):
    """A line of a case's timeline."""

    id: int
    at: datetime
    actor: str
    kind: str
    text: str
    detail: dict[str, Any]


class CaseDetail(CaseSummary):
    """A case with its episodes, its timeline and the evidence that has arrived."""

    episodes: list[EpisodeOut]
    timeline: list[EntryOut]
    evidence: list[str]


class CaseList(BaseModel):
    """Cases in the order in which they should be taken; `total` counts those that a limit cut off, too."""

    cases: list[CaseSummary]
    total: int


class EvidenceHalf(_Row):
    """One half of an evidence pack; `body` is as the device froze it."""

    evidence_id: str
    part: str
    device: str
    finding_id: str
    detected_at: datetime
    intact: bool
    body: dict[str, Any]
    received_at: datetime


class EvidenceOut(BaseModel):
    """Both halves of a pack, as far as they have arrived."""

    parts: list[EvidenceHalf]


class DeviceOut(_Row):
    """A device that has sent at least one message."""

    device: str
    presence: str
    presence_at: datetime | None
    first_seen: datetime
    last_seen: datetime
    agent: str
    model: str
    firmware: str
    hardware: str
    boot_id: str
    metrics: int
    customer: str
    site: str
    open_cases: int


class DeviceList(BaseModel):
    """All devices."""

    devices: list[DeviceOut]


class DeadLetterOut(_Row):
    """A message that could not be read or applied, and why."""

    id: int
    received_at: datetime
    topic: str
    cause: str
    size: int


class DeadLetterList(BaseModel):
    """The newest dead letters."""

    dead_letters: list[DeadLetterOut]


class LossOut(_Row):
    """Record numbers of a lane that a device has declared lost."""

    device: str
    lane: str
    stream: str
    first_seq: int
    last_seq: int
    reason: str
    declared_at: datetime


class LossList(BaseModel):
    """The newest declared losses."""

    losses: list[LossOut]


class IngestOut(BaseModel):
    """Messages of devices since this process started; the device sends dropped ones again."""

    taken: int
    dead_lettered: int
    dropped: dict[DropReason, int]


class CloseIn(BaseModel):
    """The outcome of the case. `impact_at`: when the customer noticed, or the fault took effect."""

    label: Label
    cause: Cause = Cause.UNKNOWN
    noticed: Noticed = Field(default=Noticed.NOT_ASKED, description="had the customer noticed before we told them?")
    advice: Advice = Field(default=Advice.NOT_USED, description="did the advice of the knowledge article help?")
    impact_at: AwareDatetime | None = None
    note: str = Field(default="", max_length=4000)

    def outcome(self) -> Outcome:
        """Return it as the rules take it."""
        return Outcome(**{name: getattr(self, name) for name in CloseIn.model_fields})


class ReopenIn(BaseModel):
    """Why the case is reopened."""

    reason: str = Field(default="", max_length=4000)


class NoteIn(BaseModel):
    """A note for the timeline."""

    text: str = Field(min_length=1, max_length=4000)
