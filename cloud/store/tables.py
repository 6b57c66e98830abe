"""The tables. Every row that a person may ask about says when and why; times are aware UTC."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cloud.cases.cases import CaseState as CaseState  # the values that the columns hold, for queries
from cloud.cases.cases import Label as Label
from cloud.cases.episodes import EpisodeState as EpisodeState


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out, on SQLite too, which keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  SQLAlchemy's signature
        """Refuse naive times: they are a bug of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"naive time {value!r}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  SQLAlchemy's signature
        """Give SQLite's zoneless times their zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables of the cloud."""

    type_annotation_map = {  # noqa: RUF012  SQLAlchemy reads it from the class
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        bytes: LargeBinary,
    }


SYSTEM_DEVICE = "@cloud"  # what the cloud finds wrong with itself; no device can have this name
BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only in INTEGER columns


class Device(Base):
    """A device that has sent at least one message."""

    __tablename__ = "device"
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    presence: Mapped[str] = mapped_column(String(16), default="offline")
    presence_at: Mapped[datetime | None]
    agent: Mapped[str] = mapped_column(String(64), default="")
    model: Mapped[str] = mapped_column(String(128), default="")
    firmware: Mapped[str] = mapped_column(String(128), default="")
    hardware: Mapped[str] = mapped_column(String(128), default="")
    boot_id: Mapped[str] = mapped_column(String(64), default="")
    metrics: Mapped[int] = mapped_column(default=0)
    customer: Mapped[str] = mapped_column(String(200), default="")
    site: Mapped[str] = mapped_column(String(200), default="")
    telemetry_at: Mapped[datetime | None]  # arrival of the last telemetry, to a few seconds
    telemetry_every_s: Mapped[float | None]  # as the device announced
    owner: Mapped[str] = mapped_column(String(200), default="", server_default="")  # who is asked about it
    tags: Mapped[str] = mapped_column(String(400), default="", server_default="")  # " cold outdoor ", for LIKE
    note: Mapped[str] = mapped_column(String(2000), default="", server_default="")
    consent: Mapped[str] = mapped_column(String(16), default="unknown", server_default="unknown")
    inventory_version: Mapped[int] = mapped_column(default=1, server_default="1")  # of what staff record
    __table_args__ = (
        Index("device_hardware", "hardware"),
        Index("device_firmware", "firmware"),
        Index("device_place", "customer", "site"),
        Index("device_site", "site"),
        Index("device_presence", "presence", "last_seen"),
    )


class Stream(Base):
    """The number up to which a lane's stream is stored without a gap, and applied."""

    __tablename__ = "stream"
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    lane: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(36), primary_key=True)
    stored_up_to: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[datetime]


class RecordRow(Base):
    """One record of a findings lane, as it came. Its key is what makes delivery exactly once."""

    __tablename__ = "record"
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    lane: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(36), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    body: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]


class TelemetryChunk(Base):
    """One batch of telemetry, packed as it came."""

    __tablename__ = "telemetry_chunk"
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    stream: Mapped[str] = mapped_column(String(36), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    start_at: Mapped[datetime] = mapped_column(index=True)
    body: Mapped[bytes]
    received_at: Mapped[datetime]
    __table_args__ = (Index("telemetry_chunk_of", "device", "start_at"),)


class LossRow(Base):
    """Numbers that a device has declared lost."""

    __tablename__ = "loss"
    device: Mapped[str] = mapped_column(String(64), primary_key=True)
    lane: Mapped[str] = mapped_column(String(16), primary_key=True)
    stream: Mapped[str] = mapped_column(String(36), primary_key=True)
    first_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(Text)
    declared_at: Mapped[datetime]


class DeadLetter(Base):
    """A message that could not be read or applied, with its cause; the oldest are deleted when there are too many."""

    __tablename__ = "dead_letter"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    received_at: Mapped[datetime]
    topic: Mapped[str] = mapped_column(String(256))
    cause: Mapped[str] = mapped_column(Text)
    payload: Mapped[bytes]
    device: Mapped[str] = mapped_column(String(64), default="", server_default="")
    __table_args__ = (Index("dead_letter_device", "device"),)


class Episode(Base):
    """One fault on one component of one device, from its first finding to its clearing."""

    __tablename__ = "episode"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("device.device"))
    fault: Mapped[str] = mapped_column(String(200))
    component: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(16))
    severity: Mapped[str] = mapped_column(String(16))
    severity_reason: Mapped[str] = mapped_column(Text)
    confidence: Mapped[float]
    sentence: Mapped[str] = mapped_column(Text)  # the reason of the latest finding, as the device sent it
    carriers: Mapped[list[Any]]
    detector: Mapped[dict[str, Any]]
    finding_id: Mapped[str] = mapped_column(String(36), index=True)
    evidence_id: Mapped[str | None] = mapped_column(String(36))
    first_at: Mapped[datetime]  # first finding, on the device's clock where that was right
    last_at: Mapped[datetime]
    impact_low_at: Mapped[datetime | None]
    impact_at: Mapped[datetime | None]
    impact_high_at: Mapped[datetime | None]
    fired_at: Mapped[datetime | None]
    cleared_at: Mapped[datetime | None]  # the device reported clear; resolves after the hold-down
    resolved_at: Mapped[datetime | None]
    findings: Mapped[int] = mapped_column(default=1)
    flaps: Mapped[int] = mapped_column(default=0)
    first_severity: Mapped[str] = mapped_column(String(16), default="")  # info: it began on the watch list
    acknowledged_by: Mapped[str | None] = mapped_column(String(64))
    acknowledged_at: Mapped[datetime | None]
    silence_number: Mapped[int | None] = mapped_column(ForeignKey("silence.number"), index=True)
    suppressed_until: Mapped[datetime | None]  # the silence's end, or its window's
    explained_by: Mapped[int | None] = mapped_column(ForeignKey("episode.id"), index=True)
    reasons: Mapped[list[Any]]  # each decision as {"at": ISO, "decision": str, "reason": str}
    case_number: Mapped[int | None] = mapped_column(ForeignKey("support_case.number"), index=True)
    __table_args__ = (
        Index("episode_open", "device", "fault", "component", "state"),
        Index("episode_state", "state"),
        Index("episode_watch", "first_severity", "state", "last_at"),
    )


class SupportCase(Base):
    """What support staff work on."""

    __tablename__ = "support_case"
    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("device.device"), index=True)
    title: Mapped[str] = mapped_column(String(400))
    state: Mapped[str] = mapped_column(String(20), index=True)
    severity: Mapped[str] = mapped_column(String(16))
    severity_reason: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime]
    opened_reason: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime]
    impact_low_at: Mapped[datetime | None]
    impact_at: Mapped[datetime | None]
    impact_high_at: Mapped[datetime | None]
    owner: Mapped[str | None] = mapped_column(String(64))
    label: Mapped[str | None] = mapped_column(String(20))
    closed_at: Mapped[datetime | None]
    fault: Mapped[str] = mapped_column(String(200), default="")  # that it was opened for
    lane: Mapped[str | None] = mapped_column(String(16))
    lane_reason: Mapped[str] = mapped_column(Text, default="")
    problem_number: Mapped[int | None] = mapped_column(ForeignKey("problem.number"), index=True)
    first_owner: Mapped[str | None] = mapped_column(String(64))  # kept informed after a hand-over
    reminder_at: Mapped[datetime | None]
    reminder_note: Mapped[str] = mapped_column(Text, default="")
    merged_into: Mapped[int | None] = mapped_column(ForeignKey("support_case.number"))
    merged_episodes: Mapped[list[Any]] = mapped_column(default=list)  # ids of those that moved, for the unmerge
    version: Mapped[int] = mapped_column(default=1)
    __table_args__ = (
        Index("support_case_fault", "fault", "opened_at"),
        Index("support_case_opened", "opened_at"),
        Index("support_case_owner", "owner", "state"),
        Index("support_case_first_owner", "first_owner"),
    )
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  each change compares and sets it


class CaseEntry(Base):
    """A line of a case's timeline, which is also its audit trail and the feed of live pages (by rising id)."""

    __tablename__ = "case_entry"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    case_number: Mapped[int] = mapped_column(ForeignKey("support_case.number"), index=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))  # an account's name, or "forewarn"
    kind: Mapped[str] = mapped_column(String(32))  # opened, finding, severity, resolved, reopened, taken, closed, note
    text: Mapped[str] = mapped_column(Text)
    detail: Mapped[dict[str, Any]]


class Notice(Base):
    """What happened in a case that somebody handed over: they are told until it is closed."""

    __tablename__ = "notice"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name"))
    case_number: Mapped[int] = mapped_column(ForeignKey("support_case.number"))
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    text: Mapped[str] = mapped_column(Text)
    read_at: Mapped[datetime | None]
    __table_args__ = (Index("notice_account", "account", "read_at"),)


class Problem(Base):
    """One cause behind many cases: the same fault, and something in common."""

    __tablename__ = "problem"
    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    fault: Mapped[str] = mapped_column(String(200))
    scope: Mapped[str] = mapped_column(String(16))  # firmware, site or model
    value: Mapped[str] = mapped_column(String(200))
    title: Mapped[str] = mapped_column(String(400))
    state: Mapped[str] = mapped_column(String(16))
    opened_at: Mapped[datetime]
    opened_reason: Mapped[str] = mapped_column(Text)
    last_case_at: Mapped[datetime]
    owner: Mapped[str | None] = mapped_column(String(64))
    announcement: Mapped[str] = mapped_column(Text, default="")
    announced_by: Mapped[str] = mapped_column(String(64), default="")
    announced_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    __table_args__ = (Index("problem_open", "state", "fault"),)


class ProblemEntry(Base):
    """A line of a problem's timeline."""

    __tablename__ = "problem_entry"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    problem_number: Mapped[int] = mapped_column(ForeignKey("problem.number"), index=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32))
    text: Mapped[str] = mapped_column(Text)


class Silence(Base):
    """A span of time, or windows on weekdays within it, in which what fits opens no case."""

    __tablename__ = "silence"
    number: Mapped[int] = mapped_column(BigId, primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    reason: Mapped[str] = mapped_column(Text)
    zone: Mapped[str] = mapped_column(String(64))
    device: Mapped[str] = mapped_column(String(64), default="")
    site: Mapped[str] = mapped_column(String(200), default="")
    model: Mapped[str] = mapped_column(String(128), default="")
    fault: Mapped[str] = mapped_column(String(200), default="")
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime] = mapped_column(index=True)
    weekdays: Mapped[list[Any]]
    from_time: Mapped[str] = mapped_column(String(5), default="")  # HH:MM, local
    to_time: Mapped[str] = mapped_column(String(5), default="")
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str] = mapped_column(String(64), default="")


class EvidenceRow(Base):
    """One half of an evidence pack, as the device froze it."""

    __tablename__ = "evidence"
    evidence_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    part: Mapped[str] = mapped_column(String(8), primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("device.device"))
    finding_id: Mapped[str] = mapped_column(String(36), index=True)
    detected_at: Mapped[datetime]  # the cloud's dating of the moment of detection
    intact: Mapped[bool]  # the hash fits the content
    body: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]


class Account(Base):
    """A person who may log in."""

    __tablename__ = "account"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    password_hash: Mapped[str] = mapped_column(Text)  # empty: they log in with single sign-on only
    role: Mapped[str] = mapped_column(String(16), default="agent")  # see `cloud.accounts.roles.Role`
    created_at: Mapped[datetime]
    must_change: Mapped[bool] = mapped_column(default=False)  # the password is a one-time password
    password_expires_at: Mapped[datetime | None]  # of a one-time password
    disabled_at: Mapped[datetime | None]
    last_login_at: Mapped[datetime | None]
    oidc_subject: Mapped[str | None] = mapped_column(String(600), unique=True, index=True)  # issuer and subject


class LoginSession(Base):
    """A login: the cookie holds the token, the row its hash."""

    __tablename__ = "login_session"
    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name"), index=True)
    created_at: Mapped[datetime]
    last_used_at: Mapped[datetime]  # to a minute
    expires_at: Mapped[datetime]
    address: Mapped[str] = mapped_column(String(64), default="")
