"""Column types that migrations share."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

AT = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows only in INTEGER columns


def column(name: str, kind: TypeEngine[Any], *, optional: bool = False) -> sa.Column[Any]:
    """Return a column that must have a value, unless it is optional."""
    return sa.Column(name, kind, nullable=optional)
