"""The tables of notifications and of the clocks of service levels."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.store.tables import Base, BigId


class Notification(Base):
    """One mail to one address: decided with the change of a case, sent later; with its outcome."""

    __tablename__ = "notification"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    event: Mapped[str] = mapped_column(String(16))  # see `cloud.cases.notifications.NotificationEvent`
    address: Mapped[str] = mapped_column(String(320))
    group_key: Mapped[str] = mapped_column(String(64))  # "case:7" or "problem:3": one mail for all of it
    case_number: Mapped[int] = mapped_column(ForeignKey("support_case.number"), index=True)
    problem_number: Mapped[int | None] = mapped_column(ForeignKey("problem.number"))
    text: Mapped[str] = mapped_column(Text)  # what happened, as the timeline has it
    reason: Mapped[str] = mapped_column(Text)  # why this address is told, and why now
    state: Mapped[str] = mapped_column(String(16))  # pending, sending, sent, failed or grouped
    created_at: Mapped[datetime]
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    repeats: Mapped[int] = mapped_column(default=0)  # further events that this mail covers
    claimed_at: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(Text, default="")  # the answer of the mail server, or the error
    message_id: Mapped[str] = mapped_column(String(128))  # the same at each attempt
    __table_args__ = (
        Index("notification_due", "state", "due_at"),
        Index("notification_group", "group_key", "event", "address"),
    )


class CaseClock(Base):
    """One clock of a case's service level."""

    __tablename__ = "case_clock"
    case_number: Mapped[int] = mapped_column(ForeignKey("support_case.number"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24), primary_key=True)  # see `cloud.cases.service_levels.ClockKind`
    calendar: Mapped[str] = mapped_column(String(64))
    goal_s: Mapped[float]
    started_at: Mapped[datetime]
    spent_s: Mapped[float] = mapped_column(default=0.0)  # of working time, up to `running_since`
    running_since: Mapped[datetime | None]  # None: paused or stopped
    due_at: Mapped[datetime | None]  # while it runs
    stopped_at: Mapped[datetime | None]
    breached_at: Mapped[datetime | None]
    __table_args__ = (Index("case_clock_due", "due_at"),)
