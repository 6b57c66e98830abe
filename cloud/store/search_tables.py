"""The tables of the inbox: the texts that are searched, and the views that staff have saved."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cloud.store.tables import Base, BigId


class SearchText(Base):
    """A text that is searched: a case's title and fault, a note in a case, or a device with its customer and site.

    Triggers of the database write these rows (see search_index.py), so that whatever changes a case keeps them right.
    """

    __tablename__ = "search_text"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    case_number: Mapped[int | None] = mapped_column(BigId, index=True)
    device: Mapped[str | None] = mapped_column(String(64), index=True)
    text: Mapped[str] = mapped_column(Text)


class SavedView(Base):
    """A filter with a name, for one person or for everybody."""

    __tablename__ = "saved_view"
    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    owner: Mapped[str] = mapped_column(ForeignKey("account.name"))
    name: Mapped[str] = mapped_column(String(40))
    filter: Mapped[str] = mapped_column(String(400))
    shared: Mapped[bool]
    created_at: Mapped[datetime]
    __table_args__ = (Index("saved_view_owner", "owner", "name", unique=True),)
