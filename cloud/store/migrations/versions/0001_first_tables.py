"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None

AT = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows only in INTEGER columns


def upgrade() -> None:
    """Create everything."""
    _devices()
    _streams()
    _cases()
    _episodes()
    _accounts()


def _column(name: str, kind: TypeEngine[Any], *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=optional)


def _devices() -> None:
    op.create_table(
        "device",
        _column("device", sa.String(length=64)),
        _column("first_seen", AT),
        _column("last_seen", AT),
        _column("presence", sa.String(length=16)),
        _column("presence_at", AT, optional=True),
        _column("agent", sa.String(length=64)),
        _column("model", sa.String(length=128)),
        _column("firmware", sa.String(length=128)),
        _column("hardware", sa.String(length=128)),
        _column("boot_id", sa.String(length=64)),
        _column("metrics", sa.Integer()),
        _column("customer", sa.String(length=200)),
        _column("site", sa.String(length=200)),
        sa.PrimaryKeyConstraint("device"),
    )
    op.create_table(
        "parked",
        _column("id", BIG_ID),
        _column("received_at", AT),
        _column("topic", sa.String(length=256)),
        _column("cause", sa.Text()),
        _column("payload", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id"),
    )


def _streams() -> None:
    op.create_table(
        "stream",
        _column("device", sa.String(length=64)),
        _column("lane", sa.String(length=16)),
        _column("stream", sa.String(length=36)),
        _column("stored_up_to", sa.BigInteger()),
        _column("started_at", AT),
        sa.PrimaryKeyConstraint("device", "lane", "stream"),
    )
    op.create_table(
        "record",
        _column("device", sa.String(length=64)),
        _column("lane", sa.String(length=16)),
        _column("stream", sa.String(length=36)),
        _column("seq", sa.BigInteger()),
        _column("kind", sa.String(length=32)),
        _column("body", sa.JSON()),
        _column("received_at", AT),
        sa.PrimaryKeyConstraint("device", "lane", "stream", "seq"),
    )
    op.create_table(
        "telemetry_chunk",
        _column("device", sa.String(length=64)),
        _column("stream", sa.String(length=36)),
        _column("seq", sa.BigInteger()),
        _column("start_at", AT),
        _column("body", sa.LargeBinary()),
        _column("received_at", AT),
        sa.PrimaryKeyConstraint("device", "stream", "seq"),
    )
    op.create_index("ix_telemetry_chunk_start_at", "telemetry_chunk", ["start_at"])
    op.create_table(
        "loss",
        _column("device", sa.String(length=64)),
        _column("lane", sa.String(length=16)),
        _column("stream", sa.String(length=36)),
        _column("first_seq", sa.BigInteger()),
        _column("last_seq", sa.BigInteger()),
        _column("reason", sa.Text()),
        _column("declared_at", AT),
        sa.PrimaryKeyConstraint("device", "lane", "stream", "first_seq"),
    )


def _cases() -> None:
    op.create_table(
        "support_case",
        _column("number", BIG_ID),
        _column("device", sa.String(length=64)),
        _column("title", sa.String(length=400)),
        _column("state", sa.String(length=20)),
        _column("severity", sa.String(length=16)),
        _column("severity_reason", sa.Text()),
        _column("opened_at", AT),
        _column("opened_reason", sa.Text()),
        _column("updated_at", AT),
        _column("impact_low_at", AT, optional=True),
        _column("impact_at", AT, optional=True),
        _column("impact_high_at", AT, optional=True),
        _column("owner", sa.String(length=64), optional=True),
        _column("label", sa.String(length=20), optional=True),
        _column("closed_at", AT, optional=True),
        _column("version", sa.Integer()),
        sa.ForeignKeyConstraint(["device"], ["device.device"]),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_support_case_device", "support_case", ["device"])
    op.create_index("ix_support_case_state", "support_case", ["state"])
    op.create_table(
        "case_entry",
        _column("id", BIG_ID),
        _column("case_number", BIG_ID),
        _column("at", AT),
        _column("actor", sa.String(length=64)),
        _column("kind", sa.String(length=32)),
        _column("text", sa.Text()),
        _column("detail", sa.JSON()),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_case_entry_case_number", "case_entry", ["case_number"])


def _episodes() -> None:
    op.create_table(
        "episode",
        _column("id", BIG_ID),
        _column("device", sa.String(length=64)),
        _column("fault", sa.String(length=200)),
        _column("component", sa.String(length=200)),
        _column("state", sa.String(length=16)),
        _column("severity", sa.String(length=16)),
        _column("severity_reason", sa.Text()),
        _column("confidence", sa.Double()),
        _column("sentence", sa.Text()),
        _column("carriers", sa.JSON()),
        _column("detector", sa.JSON()),
        _column("finding_id", sa.String(length=36)),
        _column("evidence_id", sa.String(length=36), optional=True),
        _column("first_at", AT),
        _column("last_at", AT),
        _column("impact_low_at", AT, optional=True),
        _column("impact_at", AT, optional=True),
        _column("impact_high_at", AT, optional=True),
        _column("fired_at", AT, optional=True),
        _column("cleared_at", AT, optional=True),
        _column("resolved_at", AT, optional=True),
        _column("findings", sa.Integer()),
        _column("flaps", sa.Integer()),
        _column("reasons", sa.JSON()),
        _column("case_number", BIG_ID, optional=True),
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
        _column("evidence_id", sa.String(length=36)),
        _column("part", sa.String(length=8)),
        _column("device", sa.String(length=64)),
        _column("finding_id", sa.String(length=36)),
        _column("detected_at", AT),
        _column("intact", sa.Boolean()),
        _column("body", sa.JSON()),
        _column("received_at", AT),
        sa.ForeignKeyConstraint(["device"], ["device.device"]),
        sa.PrimaryKeyConstraint("evidence_id", "part"),
    )
    op.create_index("ix_evidence_finding_id", "evidence", ["finding_id"])


def _accounts() -> None:
    op.create_table(
        "account",
        _column("name", sa.String(length=64)),
        _column("password_hash", sa.Text()),
        _column("role", sa.String(length=16)),
        _column("created_at", AT),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "login_session",
        _column("token_hash", sa.String(length=64)),
        _column("account", sa.String(length=64)),
        _column("created_at", AT),
        _column("expires_at", AT),
        sa.ForeignKeyConstraint(["account"], ["account.name"]),
        sa.PrimaryKeyConstraint("token_hash"),
    )
