"""The records of the findings lane, presence and acknowledgements: JSON, validated by pydantic.

What flows in: bytes of an MQTT payload, or values of the agent. What flows out: frozen values, or a ValueError that
names field, value and reason. Unknown fields are kept, so a newer device loses nothing at an older cloud.
"""

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from edge_agent.protocol import PROTOCOL_VERSION
from edge_agent.protocol.faults import DetectorKind, Severity
from edge_agent.protocol.instant import Instant
from edge_agent.protocol.topics import Lane

MAX_RECORDS = 256  # in one message
MAX_POINTS = 20_000  # in one series of an evidence pack
MAX_SERIES = 64  # in one evidence pack
MAX_EXPECTED = 64  # trends that are expected on one device

Id = Annotated[str, Field(pattern=r"^[0-9a-f-]{32,36}$")]
Metric = Annotated[str, Field(min_length=1, max_length=8192)]  # a series holds its mount point, which may be long
Word = Annotated[str, Field(min_length=1, max_length=200)]
Sentence = Annotated[str, Field(max_length=2000)]
Share = Annotated[float, Field(ge=0, le=1)]
Seq = Annotated[int, Field(ge=1, lt=2**63)]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


_T = TypeVar("_T", bound=_Wire)


class Phase(StrEnum):
    """The state of a finding."""

    OPEN = "open"  # reported for the first time
    UPDATE = "update"  # still true; time to impact or certainty have changed
    CLEAR = "clear"  # no longer true


class Impact(_Wire):
    """Seconds from the record's `at` until the customer would notice; `low_s` to `high_s` is the interval."""

    low_s: float = Field(ge=0)
    likely_s: float = Field(ge=0)
    high_s: float = Field(ge=0)


class Carrier(_Wire):
    """A metric that contributes to a finding: its value, its normal range, its share of the score."""

    metric: Metric
    value: float
    unit: str = Field(max_length=32)
    expected_low: float | None = None
    expected_high: float | None = None
    share: Share


class Detector(_Wire):
    """The kind and version of the detector: precision and lead time are reported per detector and version."""

    judge: DetectorKind
    version: Word


class Finding(_Wire):
    """A fault on a component: since when, confidence, time to impact, and the evidence."""

    kind: Literal["finding"] = "finding"
    finding_id: Id
    fault: Word
    component: Word
    phase: Phase
    at: Instant
    since: Instant
    severity: Severity
    confidence: Share
    impact: Impact | None = None
    reason: Sentence
    carriers: tuple[Carrier, ...] = Field(default=(), max_length=MAX_SERIES)
    detector: Detector
    evidence_id: Id | None = None


class Series(_Wire):
    """A stretch of one metric: `uptime_s[i]` is when `values[i]` was read; a missing reading is null."""

    metric: Metric
    unit: str = Field(max_length=32)
    uptime_s: tuple[float, ...] = Field(max_length=MAX_POINTS)
    values: tuple[float | None, ...] = Field(max_length=MAX_POINTS)
    role: Literal["judged", "context"]


class Threshold(_Wire):
    """The line in the chart: where `metric` reaches `value`, `meaning` happens."""

    metric: Metric
    value: float
    meaning: Word


class Line(_Wire):
    """A fitted straight line: value(t) = value_at_detection + slope_per_s * (t - detected_uptime_s)."""

    metric: Metric
    value_at_detection: float
    slope_per_s: float


class EvidencePart(StrEnum):
    """Which half of an evidence pack a record holds."""

    BEFORE = "before"  # frozen when the finding opens
    AFTER = "after"  # what followed, sent once


class Evidence(_Wire):
    """An evidence pack, frozen when a finding opens: the evaluated series, their threshold, the detector."""

    kind: Literal["evidence"] = "evidence"
    evidence_id: Id
    finding_id: Id
    part: EvidencePart
    at: Instant
    detected_uptime_s: float
    series: tuple[Series, ...] = Field(max_length=MAX_SERIES)
    threshold: Threshold | None = None
    line: Line | None = None
    events: tuple[Sentence, ...] = Field(default=(), max_length=200)
    detector: Detector
    sha256: str = Field(default="", max_length=64)

    def sealed(self) -> "Evidence":
        """Return the same pack with the hash of its content."""
        return self.model_copy(update={"sha256": self.digest()})

    def digest(self) -> str:
        """SHA-256 over the canonical JSON of all fields but the hash itself (keys sorted, no spaces)."""
        content = self.model_dump(mode="json", exclude={"sha256"})
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Loss(_Wire):
    """Numbered records that will never be sent. It closes the gap in the numbers; the console counts it."""

    kind: Literal["loss"] = "loss"
    at: Instant
    lane: Lane
    stream: Id
    first_seq: Seq
    last_seq: Seq
    reason: Sentence


Record = Annotated[Finding | Evidence | Loss, Field(discriminator="kind")]
KINDS = frozenset({"finding", "evidence", "loss"})
_RECORD: TypeAdapter[Finding | Evidence | Loss] = TypeAdapter(Record)


class Envelope(_Wire):
    """One message of the findings lane: records `first_seq`, `first_seq` + 1, ... of a stream, not yet read.

    `base_seq` is the lowest number the device can still send: all below it has been acknowledged once. It lets a cloud
    that starts with an empty database continue, instead of waiting for records that no longer exist.
    """

    v: Literal[1] = 1
    stream: Id
    base_seq: Seq = 1
    first_seq: Seq
    records: tuple[dict[str, JsonValue], ...] = Field(min_length=1, max_length=MAX_RECORDS)


class PresenceState(StrEnum):
    """Whether a device can be reached."""

    ONLINE = "online"  # published after each connect
    OFFLINE = "offline"  # published by the broker: the device's last will
    GOING_DOWN = "going_down"  # the device stops on purpose


class Presence(_Wire):
    """Retained message: whether the device is online, its versions, and its boot."""

    v: Literal[1] = 1
    state: PresenceState
    at: Instant
    agent: str = Field(max_length=64)
    model: str = Field(default="", max_length=128)
    firmware: str = Field(default="", max_length=128)
    hardware: str = Field(default="", max_length=128)
    metrics: int = Field(default=0, ge=0)
    telemetry_every_s: float | None = Field(default=None, gt=0, le=86_400 * 7)  # None: it sends none


class LaneAck(_Wire):
    """All records of `stream` up to and including number `up_to` are committed in the cloud."""

    stream: Id
    up_to: int = Field(ge=0, lt=2**63)


class Ack(_Wire):
    """What the cloud has stored; a lane that is not named is not acknowledged."""

    v: Literal[1] = 1
    lanes: dict[Lane, LaneAck]


class ExpectedTrend(_Wire):
    """A trend that staff closed as expected: it is normal on this device until `until`.

    `least_left` is the lowest headroom of the closed case, in the unit of the metric; less is not expected.
    """

    fault: Word
    component: Word
    least_left: float = Field(ge=0)
    until: AwareDatetime


class ExpectedTrends(_Wire):
    """All that is expected on a device; it replaces what was sent before."""

    v: Literal[1] = 1
    expected: list[ExpectedTrend] = Field(max_length=MAX_EXPECTED)


def encode(value: _Wire) -> bytes:
    """Return the JSON of a record, envelope, presence or acknowledgement."""
    return value.model_dump_json(exclude_none=True).encode()


def join_ack(lanes: Mapping[Lane, tuple[str, int]]) -> bytes:
    """Return the JSON of an acknowledgement: stream and last number of each lane, which have been checked before."""
    parts = ",".join(f'"{lane}":{{"stream":"{stream}","up_to":{up_to}}}' for lane, (stream, up_to) in lanes.items())
    return f'{{"v":{PROTOCOL_VERSION},"lanes":{{{parts}}}}}'.encode()


def join_envelope(stream: str, base_seq: int, first_seq: int, records: list[bytes]) -> bytes:
    """Return an envelope around records that are JSON already, as the outbox keeps them."""
    head = json.dumps({"v": PROTOCOL_VERSION, "stream": stream, "base_seq": base_seq, "first_seq": first_seq})
    return head[:-1].encode() + b', "records": [' + b",".join(records) + b"]}"


def decode_envelope(payload: bytes) -> Envelope:
    """Read a message of the findings lane. Raises ValueError that names the field, its value and the reason."""
    return _checked(Envelope, payload)


def decode_presence(payload: bytes) -> Presence:
    """Read a presence message. Raises ValueError as `decode_envelope` does."""
    return _checked(Presence, payload)


def decode_ack(payload: bytes | bytearray) -> Ack:
    """Read an acknowledgement. Raises ValueError as `decode_envelope` does."""
    return _checked(Ack, payload)


def decode_expected(payload: bytes | bytearray) -> ExpectedTrends:
    """Read what is expected; an empty payload (a retained message that was deleted) is nothing.

    Raises ValueError as `decode_envelope` does.
    """
    return _checked(ExpectedTrends, payload) if payload else ExpectedTrends(expected=[])


def read_record(raw: dict[str, Any]) -> Finding | Evidence | Loss | None:
    """Check one record of an envelope; None for a kind of a newer minor version, which is kept but not understood.

    Raises ValueError that names the field, its value and the reason.
    """
    if isinstance(kind := raw.get("kind"), str) and kind and kind not in KINDS:
        return None
    try:
        return _RECORD.validate_json(json.dumps(raw))
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def _checked(model: type[_T], payload: bytes | bytearray) -> _T:
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """One line for a person: which field, what is wrong with it, and the value received."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "message"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {first['msg']}, got {str(first['input'])[:80]!r}{more}"
