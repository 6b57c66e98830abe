"""The texts that are searched, saved views, and indexes for the counts of the inbox."""

import sqlalchemy as sa
from alembic import op

from cloud.store.migrations.columns import AT, BIG_ID, column
from cloud.store.search_index import FILL

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the tables and fill in what can be searched. The index itself is made at the end of every start."""
    op.create_table(
        "search_text",
        column("id", BIG_ID),
        column("case_number", BIG_ID, optional=True),
        column("device", sa.String(length=64), optional=True),
        column("text", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_search_text_case_number", "search_text", ["case_number"])
    op.create_index("ix_search_text_device", "search_text", ["device"])
    for statement in FILL:
        op.execute(statement)
    op.create_table(
        "saved_view",
        column("id", BIG_ID),
        column("owner", sa.String(length=64)),
        column("name", sa.String(length=40)),
        column("filter", sa.String(length=400)),
        column("shared", sa.Boolean()),
        column("created_at", AT),
        sa.ForeignKeyConstraint(["owner"], ["account.name"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("saved_view_owner", "saved_view", ["owner", "name"], unique=True)
    op.create_index("support_case_owner", "support_case", ["owner", "state"])
    op.create_index("support_case_first_owner", "support_case", ["first_owner"])
