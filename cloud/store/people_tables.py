"""The tables of API tokens and of the audit log."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from cloud.store.tables import Base, BigId


class ApiToken(Base):
    """A program's way in: acts as its account, within its scopes."""

    __tablename__ = "api_token"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[Any]]  # see `cloud.accounts.roles.Permission`
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]  # to a minute
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str] = mapped_column(String(64), default="")


class AuditEntry(Base):
    """One change that a person or their program made to one thing, or a login. Never changed, never deleted."""

    __tablename__ = "audit_entry"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))  # an account's name; empty: nobody that is known
    source: Mapped[str] = mapped_column(String(200))  # how and from which address
    what: Mapped[str] = mapped_column(String(100))
    subject: Mapped[str] = mapped_column(String(280))  # "case 7"
    before: Mapped[dict[str, Any]]  # what was changed, as it was; empty: it was not there
    after: Mapped[dict[str, Any]]
    __table_args__ = (
        Index("audit_entry_actor", "actor", "id"),
        Index("audit_entry_subject", "subject", "id"),
        Index("audit_entry_what", "what", "id"),
    )
