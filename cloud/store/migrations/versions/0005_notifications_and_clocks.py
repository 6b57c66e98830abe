"""Notifications, the clocks of service levels, and when a device last sent telemetry."""

import sqlalchemy as sa
from alembic import op

from cloud.store.migrations.columns import AT, BIG_ID, column

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the tables and the columns."""
    op.add_column("device", column("telemetry_at", AT, optional=True))
    op.add_column("device", column("telemetry_every_s", sa.Double(), optional=True))
    _notifications()
    _clocks()


def _notifications() -> None:
    op.create_table(
        "notification",
        column("id", BIG_ID),
        column("event", sa.String(length=16)),
        column("address", sa.String(length=320)),
        column("group_key", sa.String(length=64)),
        column("case_number", BIG_ID),
        column("problem_number", BIG_ID, optional=True),
        column("text", sa.Text()),
        column("reason", sa.Text()),
        column("state", sa.String(length=16)),
        column("created_at", AT),
        column("due_at", AT),
        column("attempts", sa.Integer()),
        column("repeats", sa.Integer()),
        column("claimed_at", AT, optional=True),
        column("sent_at", AT, optional=True),
        column("outcome", sa.Text()),
        column("message_id", sa.String(length=128)),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
        sa.ForeignKeyConstraint(["problem_number"], ["problem.number"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_notification_case_number", "notification", ["case_number"])
    op.create_index("notification_due", "notification", ["state", "due_at"])
    op.create_index("notification_group", "notification", ["group_key", "event", "address"])


def _clocks() -> None:
    op.create_table(
        "case_clock",
        column("case_number", BIG_ID),
        column("kind", sa.String(length=24)),
        column("calendar", sa.String(length=64)),
        column("goal_s", sa.Double()),
        column("started_at", AT),
        column("spent_s", sa.Double()),
        column("running_since", AT, optional=True),
        column("due_at", AT, optional=True),
        column("stopped_at", AT, optional=True),
        column("breached_at", AT, optional=True),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
        sa.PrimaryKeyConstraint("case_number", "kind"),
    )
    op.create_index("case_clock_due", "case_clock", ["due_at"])
