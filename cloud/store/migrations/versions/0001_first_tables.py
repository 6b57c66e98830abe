"""The first tables."""

import sqlalchemy as sa
from alembic import op

from cloud.store.migrations.columns import AT, BIG_ID, column

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything."""
    _devices()
    _streams()
    _cases()
    _episodes()
    _accounts()


def _devices() -> None:
    op.create_table(
        "device",
        column("device", sa.String(length=64)),
        column("first_seen", AT),
        column("last_seen", AT),
        column("presence", sa.String(length=16)),
        column("presence_at", AT, optional=True),
        column("agent", sa.String(length=64)),
        column("model", sa.String(length=128)),
        column("firmware", sa.String(length=128)),
        column("hardware", sa.String(length=128)),
        column("boot_id", sa.String(length=64)),
        column("metrics", sa.Integer()),
        column("customer", sa.String(length=200)),
        column("site", sa.String(length=200)),
        sa.PrimaryKeyConstraint("device"),
    )
    op.create_table(
        "parked",
        column("id", BIG_ID),
        column("received_at", AT),
        column("topic", sa.String(length=256)),
        column("cause", sa.Text()),
        column("payload", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id"),
    )


def _streams() -> None:
    op.create_table(
        "stream",
        column("device", sa.String(length=64)),
        column("lane", sa.String(length=16)),
        column("stream", sa.String(length=36)),
        column("stored_up_to", sa.BigInteger()),
        column("started_at", AT),
        sa.PrimaryKeyConstraint("device", "lane", "stream"),
    )
    op.create_table(
        "record",
        column("device", sa.String(length=64)),
        column("lane", sa.String(length=16)),
        column("stream", sa.String(length=36)),
        column("seq", sa.BigInteger()),
        column("kind", sa.String(length=32)),
        column("body", sa.JSON()),
        column("received_at", AT),
        sa.PrimaryKeyConstraint("device", "lane", "stream", "seq"),
    )
    op.create_table(
        "telemetry_chunk",
        column("device", sa.String(length=64)),
        column("stream", sa.String(length=36)),
        column("seq", sa.BigInteger()),
        column("start_at", AT),
        column("body", sa.LargeBinary()),
        column("received_at", AT),
        sa.PrimaryKeyConstraint("device", "stream", "seq"),
    )
    op.create_index("ix_telemetry_chunk_start_at", "telemetry_chunk", ["start_at"])
    op.create_table(
        "loss",
        column("device", sa.String(length=64)),
        column("lane", sa.String(length=16)),
        column("stream", sa.String(length=36)),
        column("first_seq", sa.BigInteger()),
        column("last_seq", sa.BigInteger()),
        column("reason", sa.Text()),
        column("declared_at", AT),
        sa.PrimaryKeyConstraint("device", "lane", "stream", "first_seq"),
    )


def _cases() -> None:
    op.create_table(
        "support_case",
        column("number", BIG_ID),
        column("device", sa.String(length=64)),
        column("title", sa.String(length=400)),
        column("state", sa.String(length=20)),
        column("severity", sa.String(length=16)),
        column("severity_reason", sa.Text()),
        column("opened_at", AT),
        column("opened_reason", sa.Text()),
        column("updated_at", AT),
        column("impact_low_at", AT, optional=True),
        column("impact_at", AT, optional=True),
        column("impact_high_at", AT, optional=True),
        column("owner", sa.String(length=64), optional=True),
        column("label", sa.String(length=20), optional=True),
        column("closed_at", AT, optional=True),
        column("version", sa.Integer()),
        sa.ForeignKeyConstraint(["device"], ["device.device"]),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_support_case_device", "support_case", ["device"])
    op.create_index("ix_support_case_state", "support_case", ["state"])
    op.create_table(
        "case_entry",
        column("id", BIG_ID),
        column("case_number", BIG_ID),
        column("at", AT),
        column("actor", sa.String(length=64)),
        column("kind", sa.String(length=32)),
        column("text", sa.Text()),
        column("detail", sa.JSON()),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_case_entry_case_number", "case_entry", ["case_number"])


def _episodes() -> None:
    op.create_table(
        "episode",
        column("id", BIG_ID),
        column("device", sa.String(length=64)),
        column("fault", sa.String(length=200)),
        column("component", sa.String(length=200)),
        column("state", sa.String(length=16)),
        column("severity", sa.String(length=16)),
        column("severity_reason", sa.Text()),
        column("confidence", sa.Double()),
        column("sentence", sa.Text()),
        column("carriers", sa.JSON()),
        column("detector", sa.JSON()),
        column("finding_id", sa.String(length=36)),
        column("evidence_id", sa.String(length=36), optional=True),
        column("first_at", AT),
        column("last_at", AT),
        column("impact_low_at", AT, optional=True),
        column("impact_at", AT, optional=True),
        column("impact_high_at", AT, optional=True),
        column("fired_at", AT, optional=True),
        column("cleared_at", AT, optional=True),
        column("resolved_at", AT, optional=True),
        column("findings", sa.Integer()),
        column("flaps", sa.Integer()),
        column("reasons", sa.JSON()),
        column("case_number", BIG_ID, optional=True),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
        sa.ForeignKeyConstraint(["device"], ["device.device"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("episode_open", "episode", ["device", "fault", "component", "state"])
    op.create_index("episode_state", "episode", ["state"])
    op.create_index("ix_episode_case_number", "episode", ["case_number"])
    op.create_index("ix_episode_finding_id", "episode", ["finding_id"])
    op.create_table(
        "evidence",
        column("evidence_id", sa.String(length=36)),
        column("part", sa.String(length=8)),
        column("device", sa.String(length=64)),
        column("finding_id", sa.String(length=36)),
        column("detected_at", AT),
        column("intact", sa.Boolean()),
        column("body", sa.JSON()),
        column("received_at", AT),
        sa.ForeignKeyConstraint(["device"], ["device.device"]),
        sa.PrimaryKeyConstraint("evidence_id", "part"),
    )
    op.create_index("ix_evidence_finding_id", "evidence", ["finding_id"])


def _accounts() -> None:
    op.create_table(
        "account",
        column("name", sa.String(length=64)),
        column("password_hash", sa.Text()),
        column("role", sa.String(length=16)),
        column("created_at", AT),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "login_session",
        column("token_hash", sa.String(length=64)),
        column("account", sa.String(length=64)),
        column("created_at", AT),
        column("expires_at", AT),
        sa.ForeignKeyConstraint(["account"], ["account.name"]),
        sa.PrimaryKeyConstraint("token_hash"),
    )
