"""The tables of the inventory: customers and their sites. What staff record about a device is in its own row."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from cloud.store.tables import Base


class CustomerRow(Base):
    """Whoever owns or operates devices, and is called about them."""

    __tablename__ = "customer"
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    contact: Mapped[str] = mapped_column(String(400), default="")
    note: Mapped[str] = mapped_column(String(2000), default="")
    version: Mapped[int] = mapped_column(default=1)
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(64))


class SiteRow(Base):
    """A place of a customer where devices are."""

    __tablename__ = "site"
    customer: Mapped[str] = mapped_column(ForeignKey("customer.name"), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    address: Mapped[str] = mapped_column(String(400), default="")
    zone: Mapped[str] = mapped_column(String(64), default="")
    note: Mapped[str] = mapped_column(String(2000), default="")
    version: Mapped[int] = mapped_column(default=1)
    changed_at: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(64))
