"""Rename the table of messages that could not be read or applied: parked becomes dead_letter."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Rename the table, and on PostgreSQL its sequence and the index of its key too."""
    op.rename_table("parked", "dead_letter")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER SEQUENCE parked_id_seq RENAME TO dead_letter_id_seq")
        op.execute("ALTER INDEX parked_pkey RENAME TO dead_letter_pkey")
