"""Add what is learned from closed cases: outcomes, expectations, frozen evidence, articles, proposals, versions."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"

AT = sa.DateTime(timezone=True)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite numbers rows only in INTEGER columns


def upgrade() -> None:
    """Create the tables. Cases that were closed before keep their label, and have no more than that."""
    _outcomes()
    _expectations()
    _knowledge()
    _device_events()
    op.execute("UPDATE account SET role = 'supervisor' WHERE name = 'admin'")  # the first account decides


def _column(name: str, kind: TypeEngine[Any], *, optional: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=optional)


def _outcomes() -> None:
    op.create_table(
        "outcome",
        _column("id", BIG_ID),
        _column("case_number", BIG_ID),
        _column("label", sa.String(length=20)),
        _column("cause", sa.String(length=20)),
        _column("noticed", sa.String(length=12)),
        _column("advice", sa.String(length=12)),
        _column("impact_at", AT, optional=True),
        _column("note", sa.Text()),
        _column("actor", sa.String(length=64)),
        _column("closed_at", AT),
        _column("withdrawn_at", AT, optional=True),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
    )
    op.create_index("ix_outcome_case_number", "outcome", ["case_number"])
    op.create_table(
        "evidence_snapshot",
        _column("id", BIG_ID),
        _column("case_number", BIG_ID),
        _column("fault", sa.String(length=200)),
        _column("component", sa.String(length=200)),
        _column("frozen_at", AT),
        _column("state", sa.String(length=8)),
        _column("body", sa.JSON()),
        _column("sha256", sa.String(length=64)),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
    )
    op.create_index("ix_evidence_snapshot_state", "evidence_snapshot", ["state"])
    columns = ["case_number", "fault", "component"]
    op.create_index("evidence_snapshot_case", "evidence_snapshot", columns, unique=True)


def _expectations() -> None:
    op.create_table(
        "expectation",
        _column("device", sa.String(length=64)),
        _column("fault", sa.String(length=200)),
        _column("component", sa.String(length=200)),
        _column("least_left", sa.Double()),
        _column("until", AT),
        _column("label", sa.String(length=20)),
        _column("case_number", BIG_ID),
        sa.PrimaryKeyConstraint("device", "fault", "component"),
        sa.ForeignKeyConstraint(["device"], ["device.device"]),
        sa.ForeignKeyConstraint(["case_number"], ["support_case.number"]),
    )
    op.create_table(
        "expected_message",
        _column("device", sa.String(length=64)),
        _column("version", sa.Integer()),
        _column("published", sa.Integer()),
        _column("changed_at", AT),
        _column("published_at", AT, optional=True),
        sa.PrimaryKeyConstraint("device"),
        sa.ForeignKeyConstraint(["device"], ["device.device"]),
    )


def _knowledge() -> None:
    op.create_table(
        "knowledge_article",
        _column("fault", sa.String(length=200)),
        _column("version", sa.Integer()),
        *(_column(name, sa.Text()) for name in ("what", "confirm", "steps", "tell")),
        _column("edited_by", sa.String(length=64)),
        _column("edited_at", AT),
        sa.PrimaryKeyConstraint("fault", "version"),
    )
    op.create_table(
        "sensitivity_proposal",
        _column("id", BIG_ID),
        _column("fault", sa.String(length=200)),
        _column("open_above", sa.Double()),
        _column("debounce_s", sa.Double()),
        _column("reason", sa.Text()),
        _column("effect", sa.JSON()),
        _column("state", sa.String(length=16)),
        _column("proposed_by", sa.String(length=64)),
        _column("proposed_at", AT),
        _column("decided_by", sa.String(length=64), optional=True),
        _column("decided_at", AT, optional=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_sensitivity_proposal_state", "sensitivity_proposal", ["state"])


def _device_events() -> None:
    op.create_table(
        "device_event",
        _column("id", BIG_ID),
        _column("device", sa.String(length=64)),
        _column("at", AT),
        _column("kind", sa.String(length=16)),
        _column("before", sa.String(length=128)),
        _column("after", sa.String(length=128)),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["device"], ["device.device"]),
    )
    op.create_index("device_event_of", "device_event", ["device", "at"])
