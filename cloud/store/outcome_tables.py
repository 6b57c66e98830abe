"""The tables of what was learned from closed cases: outcomes, expectations, frozen evidence, articles, proposals."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.store.tables import Base, BigId


class OutcomeRow(Base):
    """What a person reported when closing a case; withdrawn when the case was reopened."""

    __tablename__ = "outcome"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    case_number: Mapped[int] = mapped_column(ForeignKey("support_case.number"), index=True)
    label: Mapped[str] = mapped_column(String(20))
    cause: Mapped[str] = mapped_column(String(20))
    noticed: Mapped[str] = mapped_column(String(12))
    advice: Mapped[str] = mapped_column(String(12))
    impact_at: Mapped[datetime | None]
    note: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(64))
    closed_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]


class ExpectationRow(Base):
    """A fault of a component that its device makes a note of, instead of a case, until `until`."""

    __tablename__ = "expectation"
    device: Mapped[str] = mapped_column(ForeignKey("device.device"), primary_key=True)
    fault: Mapped[str] = mapped_column(String(200), primary_key=True)
    component: Mapped[str] = mapped_column(String(200), primary_key=True)
    least_left: Mapped[float]
    until: Mapped[datetime]
    label: Mapped[str] = mapped_column(String(20))
    case_number: Mapped[int] = mapped_column(ForeignKey("support_case.number"))


class ExpectedMessage(Base):
    """The state of a device's retained message: it is published again while `published` is below `version`."""

    __tablename__ = "expected_message"
    device: Mapped[str] = mapped_column(ForeignKey("device.device"), primary_key=True)
    version: Mapped[int]
    published: Mapped[int]
    changed_at: Mapped[datetime]
    published_at: Mapped[datetime | None]


class EvidenceSnapshot(Base):
    """All that a case was opened on, frozen: it is readable after the data that it was taken from has expired."""

    __tablename__ = "evidence_snapshot"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    case_number: Mapped[int] = mapped_column(ForeignKey("support_case.number"))
    fault: Mapped[str] = mapped_column(String(200))
    component: Mapped[str] = mapped_column(String(200))
    frozen_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(8), index=True)  # due: to be built, and again when more has come in
    body: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    __table_args__ = (Index("evidence_snapshot_case", "case_number", "fault", "component", unique=True),)


class ArticleRow(Base):
    """A knowledge article as staff wrote it; the highest version is shown, the others are its history."""

    __tablename__ = "knowledge_article"
    fault: Mapped[str] = mapped_column(String(200), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(Text)
    confirm: Mapped[str] = mapped_column(Text)
    steps: Mapped[str] = mapped_column(Text)
    tell: Mapped[str] = mapped_column(Text)
    edited_by: Mapped[str] = mapped_column(String(64))
    edited_at: Mapped[datetime]


class SensitivityProposal(Base):
    """A proposed change of when a fault opens a case, with what it would have done to past episodes."""

    __tablename__ = "sensitivity_proposal"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    fault: Mapped[str] = mapped_column(String(200))
    open_above: Mapped[float]
    debounce_s: Mapped[float]
    reason: Mapped[str] = mapped_column(Text)
    effect: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16), index=True)
    proposed_by: Mapped[str] = mapped_column(String(64))
    proposed_at: Mapped[datetime]
    decided_by: Mapped[str | None] = mapped_column(String(64))
    decided_at: Mapped[datetime | None]


CONNECTION = "connection"  # kind of a device's event: it went online or offline


class DeviceEvent(Base):
    """A restart of a device, another version of something on it, or that it went online or offline."""

    __tablename__ = "device_event"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("device.device"))
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))  # boot, agent, model, firmware, hardware, connection
    before: Mapped[str] = mapped_column(String(128))
    after: Mapped[str] = mapped_column(String(128))
    __table_args__ = (Index("device_event_of", "device", "at"),)
